"""A pick in a process that also routes: the body was handed over and read before, the proxy's question has none. Pure.

    the body is kept here     the answer goes into the reply to the headers
    the answer changes it     the proxy is asked for the body, and gets the new one in its place
    it is not known here      the proxy is asked for the body, as by a picker of its own

A proxy that sends the body by itself is answered as everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from epp.domain import Outcome, PickId, Request, Ticket, Verdict, Waiter
from epp.transports.extproc.conversation import PickConversation
from epp.transports.picker import RequestPicker
from gateway.extproc.conversation import Push
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    Modes,
    Mutation,
    Reply,
)
from gateway.router.kept import KeptBodies, KeptBody
from gateway.wire.protocol import KEPT_BODY, LB_NAMESPACE

# The length goes, since the answer to the body may change it; Envoy refuses a body of another length than the header's.
BODY_REQUEST = HeadersReply(Direction.REQUEST, Mutation(remove_headers=("content-length",)), BodyMode.BUFFERED)

# Opens a conversation that asks this picker and pushes late replies there.
OpenPick = Callable[[RequestPicker, Push], PickConversation]


class FusedConversation:
    """One request on one stream."""

    __slots__ = ("_held", "_kept", "_open_pick", "_pick", "_picker", "_push")

    def __init__(self, open_pick: OpenPick, picker: RequestPicker, kept: KeptBodies, push: Push) -> None:
        self._open_pick = open_pick
        self._picker = picker
        self._kept = kept
        self._push = push
        self._pick: PickConversation | None = None  # from the request's headers on
        self._held: BodyReply | None = None  # waits for the body that it replaces

    @property
    def is_finished(self) -> bool:
        return self._pick is not None and self._pick.is_finished

    @property
    def is_at_rest(self) -> bool:
        return self._pick is not None and self._held is None and self._pick.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self._pick is not None and self._pick.is_collecting

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        """Take the proxy's next message."""
        if self._pick is None:
            return self._begin(event, now)
        if self._held is not None and isinstance(event, BodyReceived) and event.direction is Direction.REQUEST:
            held, self._held = self._held, None
            return [held]
        return self._pick.receive(event, now)

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """The stream is over."""
        if self._pick is not None:
            self._pick.close(now, is_cut=is_cut)

    def _begin(self, event: Event, now: float) -> Sequence[Reply]:
        modes = event.modes if isinstance(event, HeadersReceived) and not event.end_of_stream else None
        if not isinstance(event, HeadersReceived) or modes is None or not _leaves_body(event.headers, modes):
            self._pick = self._open_pick(self._picker, self._push)
            return self._pick.receive(event, now)
        headers = replace(event, modes=Modes(BodyMode.BUFFERED, modes.response_body))
        kept = self._kept_for(event)
        if kept is None:
            self._pick = self._open_pick(self._picker, self._push)
            self._pick.receive(headers, now)
            return [BODY_REQUEST]
        self._pick = self._open_pick(_ReadBefore(self._picker, kept.document), self._push_late)
        self._pick.receive(headers, now)
        return self._to_headers(self._pick.receive(BodyReceived(Direction.REQUEST, kept.body, end_of_stream=True), now))

    def _kept_for(self, event: HeadersReceived) -> KeptBody | None:
        id_ = event.metadata.get(LB_NAMESPACE, {}).get(KEPT_BODY)
        return self._kept.take(id_) if isinstance(id_, str) else None

    def _push_late(self, replies: Sequence[Reply]) -> None:
        self._push(self._to_headers(replies))

    def _to_headers(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        """What answers a body, as an answer to the headers."""
        return [self._to_header(reply) if isinstance(reply, BodyReply) else reply for reply in replies]

    def _to_header(self, reply: BodyReply) -> HeadersReply:
        if reply.body is None:
            return HeadersReply(Direction.REQUEST, reply.mutation)
        self._held = reply
        return BODY_REQUEST


def _leaves_body(headers: Mapping[str, str], modes: Modes) -> bool:
    """Whether there is a body that the proxy leaves to us. What follows an upgrade is none, and has no end."""
    return modes.request_body is BodyMode.NONE and "upgrade" not in headers


@dataclass(frozen=True, slots=True)
class _ReadBefore:
    """The picker, for a request whose body was read before."""

    picker: RequestPicker
    document: Mapping[str, object] | None

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """With what was read."""
        return self.picker.submit(replace(request, document=self.document), waiter, now)

    def cancel(self, ticket: Ticket, now: float) -> None:
        """As it is."""
        self.picker.cancel(ticket, now)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """As it is."""
        self.picker.settle(pick_id, outcome, now)
