"""The tables are what their docstring shows, complete, and what the exchange does."""

import itertools
from collections.abc import Iterator

import pytest

from gateway.extproc.protocol import transitions
from gateway.extproc.protocol.exchange import Decide, Exchange, Proceed, ProtocolViolation
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    Direction,
    Event,
    HeadersReceived,
    ImmediateReply,
    Modes,
    Mutation,
    TrailersReceived,
)
from gateway.extproc.protocol.transitions import DECISION, REQUEST, RESPONSE, Decision, Flow, Message, Move, after
from tests import tables


def test_the_docstring_shows_each_transition() -> None:
    shown = tables.documented(transitions.__doc__)
    assert shown == {
        "request": tables.named(REQUEST),  # type: ignore[arg-type]
        "response": tables.named(RESPONSE),  # type: ignore[arg-type]
        "decision": tables.named(DECISION),  # type: ignore[arg-type]
    }


def test_each_state_has_a_row_and_whatever_is_in_none_is_a_violation() -> None:
    assert list(REQUEST) == list(RESPONSE) == list(Flow)
    assert list(DECISION) == list(Decision)
    for flow, message in itertools.product(Flow, Message):
        for table in (REQUEST, RESPONSE):
            if message not in table[flow]:
                with pytest.raises(ProtocolViolation, match=f"it arrived in state {flow.name}"):
                    after(table, flow, message, "it")
    for state, move in itertools.product(Decision, Move):
        if move not in DECISION[state]:
            with pytest.raises(ProtocolViolation, match=state.name):
                after(DECISION, state, move, "it")


EVENTS: tuple[Event, ...] = tuple(
    event
    for direction in Direction
    for event in (
        HeadersReceived(direction, {}, end_of_stream=False),
        HeadersReceived(direction, {}, end_of_stream=True),
        BodyReceived(direction, b"x", end_of_stream=False),
        BodyReceived(direction, b"x", end_of_stream=True),
        TrailersReceived(direction),
    )
)
OBSERVED = HeadersReceived(Direction.REQUEST, {}, end_of_stream=False, observe_only=True)
ANSWERS = ("proceed", "refuse", "wait and proceed", "wait and refuse", "wait", "cut and proceed")


def _decide(exchange: Exchange, answer: str) -> Iterator[None]:
    if answer.startswith("wait"):
        exchange.wait()
        yield
    if answer.endswith("proceed"):
        exchange.decided(Proceed(Mutation()))
        if answer.startswith("cut"):
            yield
            assert exchange.cut(ImmediateReply(429, (), b"")) == [ImmediateReply(429, (), b"")]
            assert exchange.cut(ImmediateReply(429, (), b"")) == []
    elif answer.endswith("refuse"):
        exchange.decided(ImmediateReply(400, (), b""))
    yield


def _walk(exchange: Exchange, events: tuple[Event, ...], answer: str) -> Iterator[tuple[Flow, Flow, Decision]]:
    yield exchange._request, exchange._response, exchange._decision
    for event in events:
        try:
            steps = exchange.receive(event)
        except ProtocolViolation:
            return
        if any(isinstance(step, Decide) for step in steps):
            yield exchange._request, exchange._response, Decision.DECIDING
            for _ in _decide(exchange, answer):
                yield exchange._request, exchange._response, exchange._decision
        yield exchange._request, exchange._response, exchange._decision


def test_the_exchange_makes_every_move_of_the_tables_and_no_other() -> None:
    moved: tuple[set[object], set[object], set[object]] = (set(), set(), set())
    sequences = [*itertools.product(EVENTS, repeat=3), (OBSERVED,)]
    modes = [Modes(mode, BodyMode.NONE, early) for mode in BodyMode for early in (False, True)]
    for mode, events, answer, limit in itertools.product(modes, sequences, ANSWERS, (0, 100)):
        walked = [*_walk(Exchange(mode, limit), events, answer)]
        for before, now in itertools.pairwise(walked):
            for seen, was, becomes in zip(moved, before, now, strict=True):
                if was is not becomes:
                    seen.add((was, becomes))
    assert moved == (_pairs(REQUEST), _pairs(RESPONSE), _pairs(DECISION))


def _pairs(table) -> set[tuple[object, object]]:
    return {(state, to) for state, row in table.items() for to in row.values() if state is not to}
