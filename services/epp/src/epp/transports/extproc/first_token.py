"""A stream of ext_proc about one answer: its head is held back until its first bytes came. Pure.

The proxy moves a request on only while the client has nothing of an answer, and engines that stream send a head before
their first token. Once the first bytes came, the stream ends, and the rest of the answer passes the picker by. It never
holds an answer longer than the proxy allows, and a stream that ends in any way lets the head go on.
"""

from collections.abc import Sequence

from gateway.extproc.protocol.messages import (
    BodyReceived,
    BodyReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    MoreTime,
    Reply,
)

_HEAD = HeadersReply(Direction.RESPONSE)


class FirstToken:
    """A `Conversation`. `longest_wait` is how many seconds the proxy would hold the head."""

    __slots__ = ("_longest_wait", "is_finished")

    is_at_rest = True  # a drain lets the head go on
    is_collecting = False

    def __init__(self, longest_wait: int) -> None:
        self._longest_wait = longest_wait
        self.is_finished = False

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        """Take the head, and say that it is held; or the first bytes, and let both go."""
        del now
        match event:
            case HeadersReceived(end_of_stream=False):
                return (MoreTime(float(self._longest_wait)),)
            case BodyReceived():
                self.is_finished = True
                return (_HEAD, BodyReply(Direction.RESPONSE))
        self.is_finished = True
        return (_HEAD,)

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """The answer goes on, or its attempt is over."""
