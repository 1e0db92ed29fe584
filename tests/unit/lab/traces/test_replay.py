"""A trace on engines: prompts share what their blocks say, sessions go on after answers, rates are more users."""

from itertools import pairwise

import orjson
import pytest

from lab.traces.replay import JITTER_SECONDS, Replay, replay_of
from lab.traces.trace import Trace, TracedRequest
from lab.workloads.conversations import BASE_MODEL, Call, Conversation, call_of

ROOM = 100_000


def replay(*requests: TracedRequest, has_times: bool = True) -> Replay:
    return replay_of(Trace("t", requests, has_times), ROOM)


def calls(made: Replay) -> list[Call]:
    found = sorted(made.conversations(1.0, 1), key=lambda each: each.id)
    return [call_of(each, turn, 16) for each in found for turn in range(len(each.turns))]


def shared(one: Call, other: Call) -> int:
    """Tokens of equal beginnings, in blocks of 16."""
    pairs = zip(one.request.block_hashes, other.request.block_hashes, strict=False)
    return 16 * next((at for at, (mine, theirs) in enumerate(pairs) if mine != theirs), len(one.request.block_hashes))


def turns_of(conversation: Conversation) -> list[float]:
    return [turn.pause for turn in conversation.turns]


def test_prompts_share_their_equal_blocks_and_nothing_more() -> None:
    first, second, third = calls(
        replay(
            TracedRequest(0.0, 2000, 10, (1, 2, 3, 4)),
            TracedRequest(1.0, 2000, 10, (1, 2, 5, 6)),
            TracedRequest(2.0, 2000, 10, ()),
        )
    )

    assert shared(first, second) == 1024
    assert shared(first, third) == 0
    assert first.body.count(b" ") == second.body.count(b" ")


def test_text_and_tokens_tell_the_same_of_what_is_shared() -> None:
    first, second = calls(replay(TracedRequest(0.0, 1536, 10, (1, 2, 3)), TracedRequest(1.0, 1536, 10, (1, 2, 9))))
    together = next(at for at, (one, other) in enumerate(zip(first.body, second.body, strict=False)) if one != other)

    assert together > 1024 * 2  # a word has two bytes at least


def test_an_answer_is_what_the_next_prompt_says_it_was() -> None:
    first, second = calls(
        replay(
            TracedRequest(0.0, 150, 80, (1, 2), 64, "s", 1.0),
            TracedRequest(5.0, 400, 80, (1, 2, 3, 4, 5, 6), 64, "s", 1.0),
        )
    )

    assert shared(first, second) == 224  # all whole blocks of 150 + 80 tokens


def test_turns_follow_answers_with_the_pauses_that_they_had() -> None:
    made = replay(
        TracedRequest(0.0, 100, 10, session="s", duration=3.0),
        TracedRequest(10.0, 100, 10, session="s", duration=3.0),
        TracedRequest(20.0, 100, 10, session="s"),
    )
    (conversation,) = made.conversations(2.0, 1)

    assert turns_of(conversation) == [0.0, 7.0, 7.0]  # at twice the rate, too


def test_requests_of_a_session_that_overlapped_stay_beside_each_other() -> None:
    made = replay(
        TracedRequest(0.0, 100, 10, session="s", duration=10.0),
        TracedRequest(2.0, 100, 10, session="s", duration=3.0),
        TracedRequest(6.0, 100, 10, session="s", duration=1.0),
    )

    assert [len(lane) for lane in made.lanes] == [1, 2]


def test_twice_the_rate_is_twice_as_many_users_in_the_same_time() -> None:
    made = replay(*[TracedRequest(float(at), 100, 10) for at in range(100)])

    for speed in (0.5, 1.0, 2.0):
        starts = [each.start for each in made.conversations(speed, 1)]
        assert all(one <= other for one, other in pairwise(starts))
        assert starts[-1] == pytest.approx(99 / speed, abs=2 * JITTER_SECONDS)


def test_seeds_move_beginnings_and_the_same_seed_does_not() -> None:
    made = replay(*[TracedRequest(float(at), 100, 10) for at in range(20)])
    starts = [[each.start for each in made.conversations(1.0, seed)] for seed in (1, 1, 2)]

    assert starts[0] == starts[1] != starts[2]


def test_without_times_sessions_come_at_the_rate_that_is_asked() -> None:
    requests = [TracedRequest(0.0, 100, 10, session=str(at // 2)) for at in range(400)]
    starts = [each.start for each in replay(*requests, has_times=False).conversations(4.0, 1)]

    assert len(starts) == 200
    assert starts[-1] == pytest.approx(100, rel=0.3)


def test_what_a_server_has_no_room_for_is_left_out_and_unknown_answers_are_the_median() -> None:
    made = replay(
        TracedRequest(0.0, ROOM, 10),
        TracedRequest(1.0, 100, 40),
        TracedRequest(2.0, 100, None),
        TracedRequest(3.0, 0, 5),
    )

    assert made.left_out == 2
    assert [request.output_tokens for lane in made.lanes for request in lane] == [40, 10]


def test_an_adapters_requests_ask_for_it_and_share_no_prompt_with_the_base_model() -> None:
    requests = [
        TracedRequest(at, 2000, 10, (1, 2, 3), session="s", adapter=adapter)
        for at, adapter in ((0.0, None), (10.0, "food"), (20.0, "food"))
    ]

    made = replay(*requests)
    base, first, second = calls(made)

    assert [orjson.loads(each.body)["model"] for each in (base, first, second)] == [BASE_MODEL, "food", "food"]
    assert (base.request.adapter, first.request.adapter, made.adapters) == (None, "food", 1)
    assert (shared(base, first), shared(first, second) > 1000) == (0, True)
