"""HTTP/2 by libnghttp2, through the package ngh2: the only module that knows it.

A binding of our own would replace this module: the events are those of `ngh2.events`, of which the connection reads
`stream_id`, `headers`, `data`, `end_stream`. Methods never raise for what the peer did: a stream that it reset has no
further output, and a connection that it broke is `is_broken`.
"""

from collections.abc import Sequence
from typing import Final

import ngh2
from ngh2 import ErrorCode, Setting
from ngh2.events import (
    ConnectionClosed,
    DataReceived,
    Event,
    PingReceived,
    RequestReceived,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)

from gateway.rpc.headers import Header

__all__ = [
    "ConnectionClosed", "DataReceived", "Engine", "ErrorCode", "Event", "PingReceived", "RequestReceived",
    "SettingsReceived", "StreamClosed", "StreamReset", "TrailersReceived",
]  # fmt: skip

# A proxy resets each ext_proc stream when its request is done, thousands in a second: the library's own limits would
# take that for an attack and end the connection. `gateway.rpc.connection` counts what does no work instead.
_UNLIMITED: Final = (1 << 40, 1 << 40)
_HEADER_LIST_BYTES: Final = 64 * 1024  # of one head; initial metadata is a few hundred bytes
_HEADER_COUNT: Final = 256
# Frames as large as the body chunks of a proxy; the library copies each frame once.
_FRAME_BYTES: Final = 64 * 1024
_CONFIGURATION: Final = ngh2.Configuration(
    auto_window_update=False,
    stream_reset_rate_limit=_UNLIMITED,
    glitch_rate_limit=_UNLIMITED,
    max_inbound_header_list_size=_HEADER_LIST_BYTES,
    max_inbound_header_count=_HEADER_COUNT,
)


class Engine:
    """One connection's HTTP/2 state.

    It ends streams and never resets one: of a frame that has half arrived when a server resets its stream, the library
    forgets that half, and so much of the connection's window with it.
    """

    __slots__ = ("_http2", "is_broken")

    def __init__(self, stream_window: int, connection_window: int, streams: int) -> None:
        self.is_broken = False
        self._http2 = ngh2.Connection(ngh2.Role.SERVER, _CONFIGURATION)
        self._http2.initiate_connection(
            {
                Setting.INITIAL_WINDOW_SIZE: stream_window,
                Setting.MAX_CONCURRENT_STREAMS: streams,
                Setting.MAX_FRAME_SIZE: _FRAME_BYTES,
                Setting.MAX_HEADER_LIST_SIZE: _HEADER_LIST_BYTES,
            }
        )
        self._http2.set_local_window_size(connection_window)

    @property
    def is_finished(self) -> bool:
        """Nothing will be read or written any more."""
        return self.is_broken or not (self._http2.want_read or self._http2.want_write)

    @property
    def queued(self) -> int:
        """Bytes of bodies that the peer's windows hold back, or that nobody has taken yet."""
        return self._http2.queued_body_size()

    def queued_on(self, stream: int) -> int:
        """Of one stream."""
        return self._http2.queued_body_size(stream)

    def is_open(self, stream: int) -> bool:
        """Whether the peer still waits for an answer; what it sent since may have ended that."""
        try:
            self._http2.stream_local_window_size(stream)
        except ngh2.NGH2Error:
            return False
        return True

    def receive(self, data: bytes) -> list[Event]:
        """What the peer's bytes mean."""
        try:
            self._http2.receive_data(data)
        except ngh2.NGH2Error:
            self.is_broken = True
            return []
        return self._http2.events()

    def take_output(self) -> tuple[bytes, list[Event]]:
        """Bytes for the peer, and the events that writing them brought about."""
        if self.is_broken:
            return b"", []
        try:
            output = self._http2.data_to_send()
        except ngh2.NGH2Error:
            self.is_broken = True
            return b"", []
        return output, self._http2.events()

    def consumed(self, stream: int, amount: int) -> None:
        """Let the peer send so many bytes more, on the connection and on the stream, if there still is one."""
        try:
            self._http2.acknowledge_received_data(amount, stream)
        except (ngh2.NGH2Error, ValueError):
            return

    def respond(self, stream: int, headers: Sequence[Header], *, ends: bool = False) -> bool:
        """Send a head. Whether it can be sent."""
        try:
            self._http2.send_response(stream, headers, end_stream=ends)
        except ngh2.NGH2Error:
            return False
        return True

    def send(self, stream: int, data: bytes) -> bool:
        """Send a piece of body. Whether it can be sent."""
        try:
            self._http2.send_data(stream, data)
        except ngh2.NGH2Error:
            return False
        return True

    def end(self, stream: int, trailers: Sequence[Header]) -> bool:
        """End a stream when its body is sent. Whether that can be sent."""
        try:
            self._http2.send_trailers(stream, trailers)
        except ngh2.NGH2Error:
            return False
        return True

    def ping(self) -> None:
        """See whether the peer is there."""
        if not self.is_finished:
            self._http2.ping()

    def announce_end(self) -> None:
        """The first GOAWAY: the peer opens no further streams, those on their way are still served."""
        if not self.is_finished:
            self._http2.send_shutdown_notice()

    def refuse_streams(self) -> None:
        """The second GOAWAY: later streams are not served."""
        if not self.is_finished:
            self._http2.send_goaway()

    def terminate(self, error: ErrorCode) -> None:
        """The last GOAWAY, whatever is still open."""
        if not self.is_finished:
            self._http2.terminate_connection(error)
