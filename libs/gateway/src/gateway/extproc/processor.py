"""Envoy's ext_proc as a gRPC service: one RPC is one conversation. It knows no transport.

Messages become events, replies become messages, in order; what the conversation pushes goes out as soon as it can. The
end of the RPC, however it comes, closes the conversation exactly once. On a drain, RPCs that owe no reply end with OK
at once (the proxy then goes on by itself), the others when they come to rest.
"""

import asyncio
from collections.abc import Mapping, Sequence

from gateway.extproc.codec import Codec, UnknownMessageError
from gateway.extproc.conversation import Conversation, Open, ServerMetrics
from gateway.extproc.protocol.exchange import ProtocolViolation
from gateway.extproc.protocol.messages import Reply
from gateway.rpc.calls import Call, Method, Status
from gateway.service import logs
from gateway.service.clock import Clock
from gateway.wire.protocol import EXT_PROC_SERVICE

log = logs.get(__name__)


class ExternalProcessor:
    """The service."""

    def __init__(self, open_conversation: Open, codec: Codec, clock: Clock, metrics: ServerMetrics) -> None:
        self.open_conversation = open_conversation
        self.codec = codec
        self.clock = clock
        self.metrics = metrics
        self.is_draining = False
        self._processes: set[Process] = set()
        self._is_idle = asyncio.Event()

    @property
    def methods(self) -> Mapping[str, Method]:
        """Under Envoy's service name."""
        return {f"/{EXT_PROC_SERVICE}/Process": self._begin}

    async def drain(self) -> None:
        """End what is at rest; return when no call is left."""
        self.is_draining = True
        for process in tuple(self._processes):
            process.end_if_over()
        if self._processes:
            await self._is_idle.wait()

    def ended(self, process: "Process") -> None:
        """A call is over."""
        self._processes.discard(process)
        if self.is_draining and not self._processes:
            self._is_idle.set()

    def _begin(self, metadata: Mapping[str, str], call: Call) -> "Process":
        process = Process(self, call)
        process.open(metadata)
        self._processes.add(process)
        return process


class Process:
    """The handler of one RPC."""

    __slots__ = ("_call", "_is_busy", "_is_open", "_processor", "conversation")

    conversation: Conversation

    def __init__(self, processor: ExternalProcessor, call: Call) -> None:
        self._processor = processor
        self._call = call
        self._is_open = True
        self._is_busy = True  # other replies are to come first

    def open(self, metadata: Mapping[str, str]) -> None:
        """Open the conversation."""
        self.conversation = self._processor.open_conversation(metadata, self.push)
        self._is_busy = False

    @property
    def is_at_rest(self) -> bool:
        return self.conversation.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self.conversation.is_collecting

    def receive(self, message: bytes) -> None:
        """Take the proxy's next message."""
        processor = self._processor
        self._is_busy = True
        try:
            replies = self.conversation.receive(processor.codec.decode(message), processor.clock())
        except (ProtocolViolation, UnknownMessageError) as error:
            processor.metrics.violation(str(error))
            log.debug("a proxy broke the protocol", reason=str(error))
            self._call.end(Status.INVALID_ARGUMENT, str(error))
            return
        self._is_busy = False
        self._send(replies)
        self.end_if_over()

    def half_closed(self) -> None:
        """The proxy is done with the request."""
        self._call.end()

    def closed(self, *, is_cut: bool) -> None:
        """Close the conversation, and let go of it: it holds `push`, so both would stay until the collector runs."""
        self._is_open = False
        conversation = self.conversation
        del self.conversation
        self._processor.ended(self)
        conversation.close(self._processor.clock(), is_cut=is_cut)

    def push(self, replies: Sequence[Reply]) -> None:
        """Send replies that no message brought about."""
        if self._is_open and replies:
            self._send(replies)
            if not self._is_busy:
                self.end_if_over()

    def end_if_over(self) -> None:
        """End the RPC when no further reply will come, or none is owed and the service drains."""
        conversation = self.conversation
        if conversation.is_finished or (self._processor.is_draining and conversation.is_at_rest):
            self._call.end()

    def _send(self, replies: Sequence[Reply]) -> None:
        if replies:
            encode = self._processor.codec.encode
            self._call.send([encode(reply) for reply in replies])
