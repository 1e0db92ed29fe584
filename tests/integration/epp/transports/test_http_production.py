"""What holds on asyncio's own event loop holds on that of production, too."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from tests.integration.epp.transports import test_http, test_http_waiting


@pytest.mark.parametrize(
    "scenario",
    [
        test_http.test_one_connection_carries_many_questions,
        test_http.test_pipelined_questions_are_answered_in_order_and_a_bad_one_ends_it,
        test_http.test_a_refusal_reaches_a_peer_that_goes_on_sending,
        test_http.test_a_large_body_arrives_whole,
        test_http.test_a_half_sent_request_is_answered_408_and_an_idle_connection_closed,
        test_http_waiting.test_a_question_whose_asker_is_gone_reserves_nothing,
        test_http.test_an_answer_that_was_taken_stays_reserved,
        test_http.test_a_peer_that_does_not_read_is_not_waited_for,
        test_http.test_a_closing_door_answers_what_has_begun_and_lets_the_rest_go,
        test_http.test_more_connections_than_allowed_are_turned_away,
        test_http_waiting.test_a_crowd_of_questions_leaves_turns_to_whatever_else_lives_on_the_loop,
        test_http_waiting.test_whoever_leaves_while_waiting_for_a_turn_is_not_asked_about,
        test_http_waiting.test_a_verdict_that_comes_later_answers_in_the_requests_turn,
        test_http_waiting.test_a_late_pick_whose_connection_is_lost_in_the_same_moment_is_unused,
        test_http_waiting.test_a_peer_that_sends_on_and_on_behind_a_request_that_waits_is_cut,
    ],
)
def test_the_loop_of_production_is_no_exception(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
