"""What each fairness policy gives two flows that do not send alike."""

from collections import Counter

import pytest

from epp.flowcontrol.band import OVERFLOW, QUEUES_LIMIT, Band
from epp.flowcontrol.fairness import COUNTERS_LIMIT, LeastServed
from epp.flowcontrol.items import Item, Limit, Size
from epp.flowcontrol.policies import (
    FairnessPolicy,
    GlobalStrictFairness,
    RoundRobinFairness,
    TokenFairness,
    WeightedFairness,
)
from epp.flowcontrol.settings import BandSettings


def item(number: int, flow: str, tokens: int = 1) -> Item:
    return Item(number, flow, 0, Size(1, 0, tokens), float(number))


def served(band: Band, count: int) -> list[str]:
    """The flows of the next dispatches."""
    flows = []
    for _ in range(count):
        head = band.head()
        band.dispatched(head)
        band.remove(head)
        flows.append(head.flow)
    return flows


def band_of(fairness: FairnessPolicy) -> Band:
    return Band(0, BandSettings(Limit(), fairness))


def test_a_strict_band_is_one_queue_by_arrival() -> None:
    band = band_of(GlobalStrictFairness())
    for number, flow in enumerate("aaab"):
        band.add(item(number, flow))

    assert served(band, 4) == ["a", "a", "a", "b"]


def test_round_robin_gives_a_flow_that_sends_ten_times_as_much_the_same() -> None:
    band = band_of(RoundRobinFairness())
    for number in range(10):
        band.add(item(number, "loud"))
    band.add(item(10, "quiet"))
    band.add(item(11, "quiet"))

    assert served(band, 4) == ["loud", "quiet", "loud", "quiet"]


def test_a_flow_with_long_prompts_gets_as_many_tokens_as_one_with_short_ones() -> None:
    band = band_of(TokenFairness(output_token_weight=1.0))
    for number in range(20):
        band.add(item(number, "long", tokens=900))
    for number in range(100, 300):
        band.add(item(number, "short", tokens=90))

    counts = Counter(served(band, 110))

    assert counts == {"long": 10, "short": 100}


def test_a_weight_of_two_gives_twice_the_tokens() -> None:
    band = band_of(TokenFairness({"gold": 2.0}))
    for number in range(60):
        band.add(item(number, "gold"))
    for number in range(100, 160):
        band.add(item(number, "plain"))

    counts = Counter(served(band, 60))

    assert counts["gold"] == pytest.approx(2 * counts["plain"], abs=2)


def test_a_weight_of_two_gives_twice_the_requests_whatever_their_length() -> None:
    band = band_of(WeightedFairness({"gold": 2.0}))
    for number in range(60):
        band.add(item(number, "gold", tokens=1000))
        band.add(item(100 + number, "plain", tokens=1))

    counts = Counter(served(band, 60))

    assert counts["gold"] == pytest.approx(2 * counts["plain"], abs=2)


def test_a_flow_that_was_silent_has_saved_nothing_up() -> None:
    band = band_of(TokenFairness(output_token_weight=1.0))
    for number in range(100):
        band.add(item(number, "steady", tokens=10))
    served(band, 50)
    for number in range(200, 250):
        band.add(item(number, "late", tokens=10))

    counts = Counter(served(band, 20))

    assert abs(counts["late"] - counts["steady"]) <= 1


def test_what_an_answer_costs_counts_for_the_next_turn() -> None:
    band = band_of(TokenFairness(output_token_weight=1.0))
    for number in range(10):
        band.add(item(number, "talkative"))
        band.add(item(100 + number, "brief"))
    band.answered("talkative", 5)

    assert served(band, 6).count("brief") >= 5


def test_what_passes_while_nobody_waits_saves_up_no_credit_for_others() -> None:
    band = band_of(TokenFairness())
    for _ in range(500):
        band.passed("busy", Size(1, 0, 100))
    for number in range(1000, 1040):
        band.add(item(number, "late", tokens=100))
        band.add(item(100 + number, "busy", tokens=100))

    counts = Counter(served(band, 40))

    assert abs(counts["late"] - counts["busy"]) <= 2


def test_a_flow_that_waits_for_nothing_keeps_what_it_was_served() -> None:
    band = band_of(TokenFairness(output_token_weight=1.0))
    band.add(item(1, "greedy", tokens=1000))
    band.add(item(2, "modest", tokens=1))
    band.add(item(3, "modest", tokens=1))
    served(band, 3)
    band.add(item(4, "greedy", tokens=1))
    band.add(item(5, "modest", tokens=1))

    assert served(band, 1) == ["modest"]


def test_ids_beyond_the_limit_share_a_queue() -> None:
    band = band_of(RoundRobinFairness())
    for number in range(QUEUES_LIMIT + 50):
        band.add(item(number, f"id-{number}"))

    queues = dict(band.waiting())

    assert len(queues) == QUEUES_LIMIT + 1
    assert queues[OVERFLOW] == 50
    assert len(served(band, QUEUES_LIMIT + 50)) == QUEUES_LIMIT + 50


def test_counters_of_a_million_ids_stay_bounded() -> None:
    fairness = LeastServed(lambda size: size.tokens, 1.0)
    for number in range(3 * COUNTERS_LIMIT):
        fairness.answered(f"id-{number}", 1)
        fairness.joined(f"id-{number}")
        assert fairness.next()
        fairness.emptied(f"id-{number}")

    assert len(fairness._counters) <= COUNTERS_LIMIT
    assert len(fairness._heap) <= 8
