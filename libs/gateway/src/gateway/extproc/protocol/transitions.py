"""Which states the two directions and the decision of an exchange go through: tables, as data. Pure.

A proxy's messages move the request and the response, each by a table of its own; the owner of the exchange moves the
decision. A move that a table does not have is a `ProtocolViolation`.

    request    IDLE        HEADERS ▶ OPEN, LAST_HEADERS ▶ COMPLETE
               OPEN        BODY ▶ OPEN, LAST_BODY ▶ COMPLETE, TRAILERS ▶ TRAILED
               COMPLETE    TRAILERS ▶ TRAILED

    response   IDLE        HEADERS ▶ OPEN, LAST_HEADERS ▶ COMPLETE
               IDLE        BODY ▶ OPEN, LAST_BODY ▶ COMPLETE, TRAILERS ▶ TRAILED
               OPEN        BODY ▶ OPEN, LAST_BODY ▶ COMPLETE, TRAILERS ▶ TRAILED

    decision   IDLE        COMPLETE ▶ DECIDING, BREAK_OFF ▶ CLOSED, OBSERVE ▶ OBSERVING
               DECIDING    PROCEED ▶ DECIDED, REFUSE ▶ CLOSED, WAIT ▶ WAITING
               WAITING     PROCEED ▶ DECIDED, REFUSE ▶ CLOSED, BREAK_OFF ▶ CLOSED
               DECIDED     BREAK_OFF ▶ CLOSED

CLOSED: an immediate reply ended it, and nothing more is answered. OBSERVING: the proxy takes no replies at all.
"""

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import TypeVar


class Flow(IntEnum):
    """How much of one direction has come."""

    IDLE = auto()
    OPEN = auto()
    COMPLETE = auto()
    TRAILED = auto()


class Message(IntEnum):
    """What comes in one direction. A message is the last of its kind when no body follows it."""

    HEADERS = auto()
    LAST_HEADERS = auto()
    BODY = auto()
    LAST_BODY = auto()
    TRAILERS = auto()


class Decision(IntEnum):
    """How far the decision about the request is."""

    IDLE = auto()
    DECIDING = auto()
    WAITING = auto()
    DECIDED = auto()
    CLOSED = auto()
    OBSERVING = auto()


class Move(IntEnum):
    """What moves the decision."""

    OBSERVE = auto()
    COMPLETE = auto()
    WAIT = auto()
    PROCEED = auto()
    REFUSE = auto()
    BREAK_OFF = auto()


_OPEN = {Message.BODY: Flow.OPEN, Message.LAST_BODY: Flow.COMPLETE, Message.TRAILERS: Flow.TRAILED}
_HEADERS = {Message.HEADERS: Flow.OPEN, Message.LAST_HEADERS: Flow.COMPLETE}

REQUEST: Mapping[Flow, Mapping[Message, Flow]] = {
    Flow.IDLE: _HEADERS,
    Flow.OPEN: _OPEN,
    Flow.COMPLETE: {Message.TRAILERS: Flow.TRAILED},
    Flow.TRAILED: {},
}
RESPONSE: Mapping[Flow, Mapping[Message, Flow]] = {
    Flow.IDLE: {**_HEADERS, **_OPEN},
    Flow.OPEN: _OPEN,
    Flow.COMPLETE: {},
    Flow.TRAILED: {},
}
DECISION: Mapping[Decision, Mapping[Move, Decision]] = {
    Decision.IDLE: {
        Move.OBSERVE: Decision.OBSERVING,
        Move.COMPLETE: Decision.DECIDING,
        Move.BREAK_OFF: Decision.CLOSED,
    },
    Decision.DECIDING: {
        Move.WAIT: Decision.WAITING,
        Move.PROCEED: Decision.DECIDED,
        Move.REFUSE: Decision.CLOSED,
    },
    Decision.WAITING: {
        Move.PROCEED: Decision.DECIDED,
        Move.REFUSE: Decision.CLOSED,
        Move.BREAK_OFF: Decision.CLOSED,
    },
    Decision.DECIDED: {Move.BREAK_OFF: Decision.CLOSED},
    Decision.CLOSED: {},
    Decision.OBSERVING: {},
}

State = TypeVar("State", Flow, Decision)
Input = TypeVar("Input", Message, Move)


class ProtocolViolation(Exception):  # noqa: N818 - the protocol's own word
    """The proxy sent a message, or the owner made a decision, that cannot come in this state."""


def after(table: Mapping[State, Mapping[Input, State]], state: State, given: Input, what: str) -> State:
    """The state that follows; `what` names the input for people."""
    found = table[state].get(given)
    if found is None:
        raise ProtocolViolation(f"{what} arrived in state {state.name}")
    return found
