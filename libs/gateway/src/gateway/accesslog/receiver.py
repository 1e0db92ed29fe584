"""Envoy's access log as a gRPC service. It knows no transport.

Entries come in batches on streams that last as long as the proxy's workers; the receiver passes each batch on as one
tuple. A stream is never answered; on a drain it ends with OK, so that the proxy opens it anew elsewhere. Loss is part
of the protocol: users of entries must live without some.
"""

from collections.abc import Callable, Mapping

from gateway.accesslog.codec import Codec
from gateway.accesslog.entries import LogEntry
from gateway.rpc.calls import Call, Method
from gateway.service import logs
from gateway.wire.protocol import ACCESS_LOG_SERVICE

log = logs.get(__name__)


class AccessLogReceiver:
    """The service. `is_attached`: a proxy's stream is open."""

    def __init__(self, codec: Codec, receive: Callable[[tuple[LogEntry, ...]], None]) -> None:
        self.codec = codec
        self.receive = receive
        self._streams: set[LogStream] = set()

    @property
    def is_attached(self) -> bool:
        return bool(self._streams)

    @property
    def methods(self) -> Mapping[str, Method]:
        """Under Envoy's service name."""
        return {f"/{ACCESS_LOG_SERVICE}/StreamAccessLogs": self._begin}

    async def drain(self) -> None:
        """End the streams; the proxy opens new ones elsewhere."""
        for stream in tuple(self._streams):
            stream.half_closed()

    def ended(self, stream: "LogStream") -> None:
        """A stream is over."""
        self._streams.discard(stream)

    def _begin(self, _metadata: Mapping[str, str], call: Call) -> "LogStream":
        stream = LogStream(self, call)
        self._streams.add(stream)
        log.debug("access log stream opened", streams=len(self._streams))
        return stream


class LogStream:
    """The handler of one RPC."""

    __slots__ = ("_call", "_receiver")

    is_at_rest = True
    is_collecting = False

    def __init__(self, receiver: AccessLogReceiver, call: Call) -> None:
        self._receiver = receiver
        self._call = call

    def receive(self, message: bytes) -> None:
        """Pass a batch on."""
        self._receiver.receive(self._receiver.codec.decode(message))

    def half_closed(self) -> None:
        """Answer, and end."""
        self._call.send((self._receiver.codec.response,))
        self._call.end()

    def closed(self, *, is_cut: bool) -> None:
        """A stream that breaks off lost what the proxy had not sent."""
        del is_cut
        self._receiver.ended(self)
