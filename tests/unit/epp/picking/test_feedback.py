"""What comes back from requests: releases, heartbeats, corrections, speed, ejection."""

from random import Random

import pytest

from epp.config import default_config, parse_config
from epp.datalayer.ledger import (
    LATE_SECONDS,
    MISSED_HEARTBEATS,
    SILENT_SECONDS,
    UNREPORTED_EXPIRY_SECONDS,
)
from epp.datalayer.placement import SETTLED_WORD_LIMIT, Placement
from epp.domain import (
    EndpointId,
    EngineMetrics,
    Feedback,
    FeedbackForwarded,
    Outcome,
    Pick,
    PickId,
    PickPlaced,
    PickSettled,
    PoolId,
    PrefixLearned,
    Request,
)
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.wire.protocol import HEARTBEAT_SECONDS
from tests.unit.epp.picking.driven import (
    BLOCK_BYTES,
    IDS,
    POOL,
    Events,
    ask,
    endpoints,
    final,
    in_flight,
    picker,
    scrape,
    spec,
)


def test_either_signal_releases_and_the_second_changes_nothing() -> None:
    made = picker()
    first, second = ask(made), ask(made)
    assert in_flight(made) == 2
    made.settle(first.id, Outcome.ENDED, 1.1)
    made.observe(final(first), 1.2)
    assert in_flight(made) == 1
    made.observe(final(second), 1.2)
    made.settle(second.id, Outcome.ENDED, 1.3)
    assert in_flight(made) == 0


def test_a_long_answer_lives_by_its_heartbeats() -> None:
    made = picker()
    pick, now = ask(made), 1.0
    beat = Feedback(pick.id, POOL, False)
    while now < 10 * UNREPORTED_EXPIRY_SECONDS:
        now += HEARTBEAT_SECONDS
        made.observe(beat, now)
        made.pass_time(now)
    assert in_flight(made) == 1
    made.pass_time(now + SILENT_SECONDS + 0.1)
    assert in_flight(made) == 0


def test_a_third_heartbeat_that_is_merely_late_is_not_missed() -> None:
    made = picker()
    pick = ask(made)
    beat = Feedback(pick.id, POOL, False)
    made.observe(beat, 11.0)
    made.pass_time(11.0 + MISSED_HEARTBEATS * HEARTBEAT_SECONDS + LATE_SECONDS)
    assert in_flight(made) == 1


@pytest.mark.parametrize("has_heartbeat", [False, True])
def test_an_open_stream_keeps_its_reservation_however_long_the_answer_is(has_heartbeat: bool) -> None:
    made = picker()
    held, lost = ask(made), ask(made)
    if has_heartbeat:
        for pick in (held, lost):
            made.observe(Feedback(pick.id, POOL, False), 2.0)
    made.pass_time(100 * UNREPORTED_EXPIRY_SECONDS, {held.id})
    assert in_flight(made) == 1
    made.pass_time(100 * UNREPORTED_EXPIRY_SECONDS + 1.0, set())
    assert in_flight(made) == 0


def test_lost_feedback_is_healed_by_expiry() -> None:
    made = picker()
    for _ in range(10):
        ask(made)
    made.pass_time(1.0 + UNREPORTED_EXPIRY_SECONDS - 1)
    assert in_flight(made) == 10
    made.pass_time(1.0 + UNREPORTED_EXPIRY_SECONDS + 1)
    assert in_flight(made) == 0
    loads = [endpoint["estimate"] for endpoint in endpoints(made).values()]
    scrape(made, 400.0)
    assert all(endpoint["in_flight_tokens"] == 0 for endpoint in endpoints(made).values())
    assert loads


def test_where_requests_give_heartbeats_one_without_any_has_ended() -> None:
    """Its end went to another replica, and Redis is gone."""
    made = picker()
    alive, _ = ask(made), ask(made)
    made.observe(Feedback(alive.id, POOL, False), 11.0)
    made.pass_time(1.0 + SILENT_SECONDS - 0.1)
    assert in_flight(made) == 2
    made.pass_time(1.0 + SILENT_SECONDS + 0.1)
    assert in_flight(made) == 1


def test_a_pick_that_never_left_teaches_nothing() -> None:
    made = picker()
    pick = ask(made)
    made.settle(pick.id, Outcome.UNUSED, 1.1)
    assert all(endpoint["index_blocks"] == 0 for endpoint in endpoints(made).values())


def test_a_fallback_that_served_holds_the_prefix_and_the_dead_one_does_not() -> None:
    made = picker()
    pick = ask(made)
    served = next(id_ for id_ in IDS if id_ != pick.targets[0])
    made.settle(pick.id, Outcome.ENDED, 1.1)
    made.observe(final(pick, served=served, attempts=2), 1.2)
    held = {id_: endpoint["index_blocks"] for id_, endpoint in endpoints(made).items()}
    assert held[served] == 4
    assert held[pick.targets[0]] == 0


def test_cached_tokens_below_the_belief_evict_what_is_older() -> None:
    made = picker(endpoints=1)
    old, hot = ask(made, "o" * 4 * BLOCK_BYTES), ask(made, "h" * 4 * BLOCK_BYTES)
    for pick in (old, hot):
        made.settle(pick.id, Outcome.ENDED, 1.1)
    again = ask(made, "h" * 4 * BLOCK_BYTES, 1.2)
    made.settle(again.id, Outcome.ENDED, 1.3)
    made.observe(final(again, prompt_tokens=256, cached_tokens=0), 1.4)
    (endpoint,) = endpoints(made).values()
    assert endpoint["index_blocks"] == 4  # the hot prompt, which it holds again now; the older one is gone
    assert endpoint["cached_tokens"] == "measured"


def test_cached_tokens_as_believed_change_nothing() -> None:
    made = picker(endpoints=1)
    for text in ("o", "h", "h"):
        pick = ask(made, text * 4 * BLOCK_BYTES)
        made.settle(pick.id, Outcome.ENDED, 1.1)
    made.observe(final(pick, prompt_tokens=256, cached_tokens=240), 1.4)
    (endpoint,) = endpoints(made).values()
    assert endpoint["index_blocks"] == 8


def test_without_cached_tokens_the_estimate_stands_and_is_marked() -> None:
    made = picker(endpoints=1)
    pick = ask(made)
    made.settle(pick.id, Outcome.ENDED, 1.1)
    made.observe(final(pick), 1.2)
    assert [endpoint["cached_tokens"] for endpoint in endpoints(made).values()] == ["estimated"]


def test_an_answer_that_comes_in_one_piece_tells_no_speed() -> None:
    """Its first byte is its last: the time until then is prefill and decoding together."""
    made = picker(endpoints=1)
    before = endpoints(made)[IDS[0]]
    for completion in (2, 200, None):
        for number in range(50):
            pick = ask(made, f"{number:04}" * 100 * (number + 1), 10.0 * number)
            made.settle(pick.id, Outcome.ENDED, 10.0 * number + 5)
            shown = final(pick, ttft_seconds=4.0, duration_seconds=4.0005, completion_tokens=completion)
            made.observe(shown, 10.0 * number + 5)
    after = endpoints(made)[IDS[0]]
    for figure in ("prefill_tokens_per_second", "decode_seconds_per_token", "speed_samples"):
        assert after[figure] == before[figure]


def test_an_answer_of_one_token_tells_the_prefill_speed_even_in_one_piece() -> None:
    made = picker(endpoints=1)
    pick = ask(made)
    made.settle(pick.id, Outcome.ENDED, 1.5)
    made.observe(final(pick, ttft_seconds=0.5, duration_seconds=0.5, completion_tokens=1), 1.5)
    assert endpoints(made)[IDS[0]]["speed_samples"] == 1


@pytest.mark.parametrize("miscounted_at", [None, 195])
def test_prefill_speed_is_measured_from_first_tokens(miscounted_at: int | None) -> None:
    made = picker(endpoints=1)
    for number in range(200):
        tokens = 500 + 37 * number % 3000
        pick = ask(made, f"{number:04}" * tokens, 10.0 * number)
        made.settle(pick.id, Outcome.ENDED, 10.0 * number + 5)
        counted = 999_999_999 if number == miscounted_at else tokens
        shown = final(pick, ttft_seconds=0.03 + tokens / 4000, duration_seconds=5.0, prompt_tokens=counted,
                     completion_tokens=101, cached_tokens=0)  # fmt: skip
        made.observe(shown, 10.0 * number + 5)
    (endpoint,) = endpoints(made).values()
    assert endpoint["prefill_tokens_per_second"] == pytest.approx(4000, rel=0.2)


def test_a_restarted_picker_does_not_reuse_pick_ids() -> None:
    made = [Picker(default_config(), random=Random(seed), replica="r", observer=NullObserver()) for seed in (1, 2)]
    for each in made:
        each.replace_pools({POOL: spec()}, 0.0)
    assert not {ask(made[0]).id for _ in range(50)} & {ask(made[1]).id for _ in range(50)}


def test_a_restarted_server_has_forgotten_its_cache() -> None:
    made = picker(endpoints=1)
    ask(made)
    scrape(made, 2.0, started_at=1.0)
    assert endpoints(made)[IDS[0]]["index_blocks"] == 4
    scrape(made, 3.0, started_at=2.5)
    assert endpoints(made)[IDS[0]]["index_blocks"] == 0


def test_what_one_replica_learns_the_other_knows() -> None:
    events = Events()
    one, two = picker(events), picker(replica="s")
    pick = ask(one)
    learned, placed = events.journal
    assert isinstance(learned, PrefixLearned)
    assert placed == PickPlaced(POOL, pick.id, ((pick.targets[0], 256),))
    two.apply(learned, 1.0)
    assert ask(two, now=1.1).targets == pick.targets


def test_a_replica_knows_what_another_has_in_flight_apart_from_its_own() -> None:
    events = Events()
    one, two = picker(events), picker(replica="s")
    pick = ask(one)
    one.settle(pick.id, Outcome.ENDED, 1.5)
    _, placed, settled = events.journal

    two.apply(placed, 1.0)
    two.apply(placed, 1.0)
    assert [endpoints(two)[id_]["others_in_flight"] for id_ in IDS] == [int(id_ == pick.targets[0]) for id_ in IDS]
    assert in_flight(two) == 0
    two.apply(settled, 1.5)
    two.apply(settled, 1.5)
    two.apply(placed, 1.6)

    assert settled == PickSettled(POOL, pick.id)
    assert all(endpoint["others_in_flight"] == 0 for endpoint in endpoints(two).values())


def test_requests_of_a_replica_that_vanished_are_forgotten() -> None:
    events = Events()
    one, two = picker(events), picker(replica="s")
    ask(one)
    two.apply(events.journal[1], 1.0)

    two.pass_time(1.0 + UNREPORTED_EXPIRY_SECONDS)
    assert sum(int(str(each["others_in_flight"])) for each in endpoints(two).values()) == 1
    two.pass_time(1.1 + UNREPORTED_EXPIRY_SECONDS)

    assert all(endpoint["others_in_flight"] == 0 for endpoint in endpoints(two).values())


def test_feedback_for_another_replicas_pick_is_passed_on_and_taken_there() -> None:
    events = Events()
    one, two = picker(), picker(events, replica="other")
    pick = ask(one)
    two.observe(final(pick), 1.1)
    (forwarded,) = events.journal
    assert forwarded == FeedbackForwarded(final(pick))
    two.apply(forwarded, 1.1)
    one.apply(forwarded, 1.2)
    assert in_flight(one) == 0


def test_events_about_unknown_pools_endpoints_and_picks_are_ignored() -> None:
    made = picker()
    made.apply(PrefixLearned(PoolId("x/y"), IDS[0], (1, 2)), 1.0)
    made.apply(PrefixLearned(POOL, EndpointId("1.1.1.1:1"), (1, 2)), 1.0)
    made.settle(PickId("r-999"), Outcome.ENDED, 1.0)
    made.observe(Feedback(PickId("r-999"), POOL, True), 1.0)
    made.scraped(PoolId("x/y"), IDS[0], EngineMetrics(), 1.0)
    made.scraped(POOL, EndpointId("1.1.1.1:1"), EngineMetrics(), 1.0)
    assert in_flight(made) == 0


def test_a_reload_changes_the_next_pick_and_keeps_the_state() -> None:
    made = picker()
    pick = ask(made)
    text = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: max-score-picker, parameters: {maxNumOfEndpoints: 3}}]\n"  # noqa: E501
    made.reconfigure(parse_config(text, "x"), 1.05)
    assert len(ask(made, now=1.1).targets) == 3
    assert in_flight(made) == 2
    made.settle(pick.id, Outcome.ENDED, 1.2)
    assert in_flight(made) == 1


def test_expected_answers_are_counted_in_flight_but_not_as_prompts_to_compute() -> None:
    load = "{type: inflight-load-producer, parameters: {addEstimatedOutputTokens: true}}"
    shown = []
    for plugins in ("{type: inflight-load-producer}", load):
        made = picker(endpoints=1)
        text = f"apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{plugins}]\n"
        made.reconfigure(parse_config(text, "x"), 0.9)
        pick = ask(made, "x" * 65_536)
        shown.append(endpoints(made)[IDS[0]])
        made.settle(pick.id, Outcome.ENDED, 1.1)
        assert endpoints(made)[IDS[0]]["in_flight_tokens"] == 0
    assert [each["in_flight_tokens"] for each in shown] == [16_384, 16_384 + 24_576]
    assert shown[0]["backlog_seconds"] == shown[1]["backlog_seconds"]


class Usage(NullObserver):
    """Remembers whose requests were reported."""

    def __init__(self) -> None:
        self.counted_by: list[tuple[str, str]] = []

    def reported(self, feedback: Feedback, placement: Placement) -> None:
        self.counted_by.append((placement.objective, placement.fairness_id))


@pytest.mark.parametrize(
    ("headers", "objective"),
    [
        ({"x-gateway-inference-objective": "food-review"}, "food-review"),
        ({"x-llm-d-inference-objective": "food-review"}, "food-review"),
        ({"x-gateway-inference-objective": "o" * 60_000}, "o" * SETTLED_WORD_LIMIT),
        ({}, ""),
    ],
)
def test_usage_is_told_with_the_objective_that_the_request_named(headers: dict[str, str], objective: str) -> None:
    usage = Usage()
    made = Picker(default_config(), random=Random(1), replica="r", observer=usage)
    made.replace_pools({POOL: spec()}, 0.0)
    pick = made.submit(Request(POOL, "POST", "/v1/completions", headers, b'{"model": "m", "prompt": "x"}'), NOBODY, 1.0)
    assert isinstance(pick, Pick)
    made.observe(final(pick), 2.0)
    assert usage.counted_by == [(objective, "default-flow")]
