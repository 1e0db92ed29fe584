"""The endpoint picker's conversation over ext_proc: a request becomes a question to the brain, its verdict an answer.

Pure. It implements the Endpoint Picker Protocol: the destination goes into a header and, with the same value, into
dynamic metadata; the pick id travels beside it and comes back in the access log. The end of the stream settles the
pick, whatever ended it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from epp.domain import Outcome, Pick, PickId, PoolId, Reply, Request, Verdict
from epp.transports.extproc.response import ResponseWatch
from epp.transports.extproc.streams import OpenStreams
from gateway.extproc import messages
from gateway.extproc.exchange import Decide, Exchange, Proceed, immediate_error
from gateway.extproc.messages import (
    NO_MUTATION,
    Direction,
    Event,
    ImmediateReply,
    Metadata,
    Modes,
    Mutation,
)
from gateway.wire.errors import Rejection
from gateway.wire.protocol import (
    BASE_MODEL_NAME,
    CLIENT_CONTROL_HEADERS,
    CONTROL_HEADER_PREFIX,
    DESTINATION_ENDPOINT,
    DESTINATION_SUBSET,
    LB_NAMESPACE,
    MODEL_NAME,
    PICK_ID,
    SIDECAR_HEADERS,
    SUBSET_NAMESPACE,
)

# No retry policy walks further, and the list travels in a header.
FALLBACKS_LIMIT = 8
JSON_HEADERS = (("content-type", "application/json"),)
# Control headers that may go on to the model server: what clients may say, and what the body-based router said.
_HARMLESS = frozenset((*CLIENT_CONTROL_HEADERS, MODEL_NAME, BASE_MODEL_NAME))


class Brain(Protocol):
    """The part of the picker that a door needs."""

    def pick(self, request: Request, now: float) -> Verdict:
        """Decide."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """The request is over; unknown ids are ignored."""


class PickConversation:
    """One request on one ext_proc stream; `streams` knows of it from its pick to its end.

    Only where no access log comes do the response phases become feedback, since both tell the same story.
    """

    __slots__ = (
        "_brain",
        "_exchange",
        "_fallbacks",
        "_is_said",
        "_pick",
        "_picked_at",
        "_pool",
        "_streams",
        "_watch",
    )

    def __init__(
        self, pool: PoolId | None, brain: Brain, modes: Modes, streams: OpenStreams, fallbacks: int = 0
    ) -> None:
        self._pool = pool
        self._fallbacks = fallbacks
        self._brain = brain
        self._exchange = Exchange(modes)
        self._streams = streams
        self._pick: Pick | None = None
        self._is_said = False  # whether the proxy knows of the pick: it has gone on since
        self._picked_at = 0.0
        self._watch: ResponseWatch | None = None

    @property
    def is_finished(self) -> bool:
        """Only when the proxy was told to answer by itself: otherwise the stream's end is the signal waited for."""
        return self._exchange.is_closed

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    def receive(self, event: Event, now: float) -> Sequence[messages.Reply]:
        """Take the proxy's next message."""
        self._is_said = self._pick is not None
        if event.direction is Direction.RESPONSE and self._pick is not None:
            self._watch = self._watch or ResponseWatch()
            self._watch.receive(event, now)
        replies: list[messages.Reply] = []
        for step in self._exchange.receive(event):
            replies.extend(self._exchange.decided(self._decide(step, now)) if isinstance(step, Decide) else [step])
        return replies

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """Release the pick, and say how the response went when nobody else will."""
        if self._pick is None:
            return
        self._streams.closed(self._pick.id)
        is_unused = is_cut and not self._is_said
        self._brain.settle(self._pick.id, Outcome.UNUSED if is_unused else Outcome.ENDED, now)
        if self._watch is not None and not self._streams.is_logged():
            self._streams.told(self._watch.feedback(self._pick, self._picked_at, now), now)

    def _decide(self, asked: Decide, now: float) -> Proceed | ImmediateReply:
        headers = asked.headers
        body = b"" if asked.is_partial else asked.body
        subset = subset_hint(asked.metadata)
        request = Request(
            self._pool, headers.get(":method", ""), headers.get(":path", ""), headers, body, subset, self._fallbacks
        )
        match self._brain.pick(request, now):
            case Pick() as pick:
                self._pick, self._picked_at = pick, now
                self._streams.opened(pick.id)
                return proceed(pick, headers)
            case Reply(body):
                return ImmediateReply(200, JSON_HEADERS, body)
            case Rejection() as rejection:
                return refuse(rejection)


def proceed(pick: Pick, headers: Mapping[str, str]) -> Proceed:
    """The answer of the Endpoint Picker Protocol."""
    destination = pick.destination
    said = ((DESTINATION_ENDPOINT, destination), *pick.headers)
    ours = {name for name, _ in said}
    mutation = Mutation(
        set_headers=said,
        remove_headers=tuple(name for name in headers if _is_control(name) and name not in ours),
        metadata={LB_NAMESPACE: {DESTINATION_ENDPOINT: destination, PICK_ID: pick.id}},
    )
    return Proceed(mutation, pick.body, Mutation(pick.explain) if pick.explain else NO_MUTATION)


def _is_control(name: str) -> bool:
    """Whether no client may say this to a model server, or to the proxy beside it."""
    return (name.startswith(CONTROL_HEADER_PREFIX) and name not in _HARMLESS) or name in SIDECAR_HEADERS


def refuse(rejection: Rejection) -> ImmediateReply:
    """An immediate response in the shape that OpenAI's clients expect."""
    reply = immediate_error(rejection.status, rejection.code, rejection.message, rejection.retry_after)
    return ImmediateReply(reply.status, reply.headers, rejection.body(), reply.details)


def subset_hint(metadata: Metadata) -> tuple[str, ...] | None:
    """The endpoints that the proxy allows: a list, or a comma-separated string. None when it did not say."""
    values = metadata.get(SUBSET_NAMESPACE)
    if values is None or DESTINATION_SUBSET not in values:
        return None
    match values[DESTINATION_SUBSET]:
        case str() as text:
            return tuple(item.strip() for item in text.split(",") if item.strip())
        case tuple() as items:
            return tuple(item.strip() for item in items if isinstance(item, str) and item.strip())
    return ()


def pool_of(metadata: Mapping[str, str], key: str) -> PoolId | None:
    """The pool that the route named in the stream's initial metadata."""
    value = metadata.get(key, "").strip()
    return PoolId(value) if value else None


def fallbacks_of(value: str | None) -> int:
    """How many further endpoints the route asked for; none when it said nothing that counts."""
    return min(int(value), FALLBACKS_LIMIT) if value and value.isascii() and value.isdigit() else 0
