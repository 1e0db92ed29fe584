"""Requests that wait for their decision."""

from epp.domain import Outcome, Ticket
from gateway.extproc.protocol import messages
from gateway.extproc.protocol.messages import (
    HeadersReply,
    ImmediateReply,
)
from gateway.wire.errors import ErrorCode, Rejection
from tests.unit.epp.transports.extproc.talking import PICK, waiting


def test_a_request_that_waits_is_answered_when_it_is_decided() -> None:
    picker, talk, replies = waiting()
    assert (replies, talk.is_at_rest, talk.is_finished) == ([], False, False)
    picker.waiters[0].decide(PICK, 5.0)
    (reply,) = picker.pushed
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.metadata["envoy.lb"]["x-pointsman-pick-id"] == "r-1"
    assert talk.is_at_rest
    talk.close(9.0)
    assert picker.events == [("r-1", Outcome.ENDED, 9.0)]


def test_a_late_refusal_ends_the_conversation() -> None:
    picker, talk, _ = waiting()
    picker.waiters[0].decide(Rejection(429, ErrorCode.POOL_SATURATED, "busy"), 5.0)
    assert [reply.status for reply in picker.pushed if isinstance(reply, ImmediateReply)] == [429]
    assert talk.is_finished


def test_a_wait_asks_for_more_time_where_the_route_allows_it() -> None:
    _, _, replies = waiting(longest_wait=10)
    assert replies == [messages.MoreTime(10)]


def test_a_stream_that_ends_while_its_request_waits_cancels_it() -> None:
    picker, talk, _ = waiting()
    talk.close(3.0, is_cut=True)
    assert picker.events == [(Ticket(1), 3.0)]


def test_a_late_pick_that_was_not_written_is_unused() -> None:
    picker, talk, _ = waiting()
    picker.waiters[0].decide(PICK, 5.0)
    talk.close(5.1, is_cut=True)
    assert picker.events == [("r-1", Outcome.UNUSED, 5.1)]


def test_a_late_pick_that_was_written_is_used() -> None:
    picker, talk, _ = waiting()
    picker.waiters[0].decide(PICK, 5.0)
    talk.close(5.1)
    assert picker.events == [("r-1", Outcome.ENDED, 5.1)]
