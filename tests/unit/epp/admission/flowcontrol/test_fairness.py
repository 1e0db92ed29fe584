"""What each fairness policy gives two flows that do not send alike."""

from collections import Counter

import pytest

from epp.admission.flowcontrol.band import OVERFLOW, QUEUES_LIMIT, Band
from epp.admission.flowcontrol.fairness import COUNTERS_LIMIT, GlobalStrict, RoundRobin, TokenShare
from epp.admission.flowcontrol.ordering import first_come
from epp.admission.flowcontrol.waiting import Item, Limit, Size


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


def band_of(fairness: GlobalStrict | RoundRobin | TokenShare) -> Band:
    return Band(0, Limit(), fairness, first_come)


def test_a_strict_band_is_one_queue_by_arrival() -> None:
    band = band_of(GlobalStrict())
    for number, flow in enumerate("aaab"):
        band.add(item(number, flow))

    assert served(band, 4) == ["a", "a", "a", "b"]


def test_round_robin_gives_a_flow_that_sends_ten_times_as_much_the_same() -> None:
    band = band_of(RoundRobin())
    for number in range(10):
        band.add(item(number, "loud"))
    band.add(item(10, "quiet"))
    band.add(item(11, "quiet"))

    assert served(band, 4) == ["loud", "quiet", "loud", "quiet"]


def test_a_flow_with_long_prompts_gets_as_many_tokens_as_one_with_short_ones() -> None:
    band = band_of(TokenShare())
    for number in range(20):
        band.add(item(number, "long", tokens=900))
    for number in range(100, 300):
        band.add(item(number, "short", tokens=90))

    counts = Counter(served(band, 110))

    assert counts == {"long": 10, "short": 100}


def test_a_weight_of_two_gives_twice_the_tokens() -> None:
    band = band_of(TokenShare({"gold": 2.0}))
    for number in range(60):
        band.add(item(number, "gold"))
    for number in range(100, 160):
        band.add(item(number, "plain"))

    counts = Counter(served(band, 60))

    assert counts["gold"] == pytest.approx(2 * counts["plain"], abs=2)


def test_a_flow_that_was_silent_has_saved_nothing_up() -> None:
    band = band_of(TokenShare())
    for number in range(100):
        band.add(item(number, "steady", tokens=10))
    served(band, 50)
    for number in range(200, 250):
        band.add(item(number, "late", tokens=10))

    counts = Counter(served(band, 20))

    assert abs(counts["late"] - counts["steady"]) <= 1


def test_what_an_answer_costs_counts_for_the_next_turn() -> None:
    band = band_of(TokenShare())
    for number in range(10):
        band.add(item(number, "talkative"))
        band.add(item(100 + number, "brief"))
    band.charge("talkative", 5)

    assert served(band, 6).count("brief") >= 5


def test_a_flow_that_waits_for_nothing_keeps_what_it_was_served() -> None:
    band = band_of(TokenShare())
    band.add(item(1, "greedy", tokens=1000))
    band.add(item(2, "modest", tokens=1))
    band.add(item(3, "modest", tokens=1))
    served(band, 3)
    band.add(item(4, "greedy", tokens=1))
    band.add(item(5, "modest", tokens=1))

    assert served(band, 1) == ["modest"]


def test_ids_beyond_the_limit_share_a_queue() -> None:
    band = band_of(RoundRobin())
    for number in range(QUEUES_LIMIT + 50):
        band.add(item(number, f"id-{number}"))

    queues = dict(band.waiting())

    assert len(queues) == QUEUES_LIMIT + 1
    assert queues[OVERFLOW] == 50
    assert len(served(band, QUEUES_LIMIT + 50)) == QUEUES_LIMIT + 50


def test_counters_of_a_million_ids_stay_bounded() -> None:
    fairness = TokenShare()
    for number in range(3 * COUNTERS_LIMIT):
        fairness.charged(f"id-{number}", 1)
        fairness.joined(f"id-{number}")
        assert fairness.next()
        fairness.emptied(f"id-{number}")

    assert len(fairness._counters) <= COUNTERS_LIMIT
    assert len(fairness._heap) <= 8
