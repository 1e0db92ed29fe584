"""Which endpoints an adapter belongs to, and what is believed of their slots."""

from collections import Counter
from collections.abc import Sequence

import pytest

from epp.datalayer.builtin import Builtin
from epp.datalayer.events import RequestPlaced, RequestSettled
from epp.datalayer.placement import Placement, Share
from epp.datalayer.placing import Placing
from epp.datalayer.pool import PoolState
from epp.datalayer.producers.adapters import HOME_REQUESTS, RANKINGS_LIMIT
from epp.datalayer.report import Report
from epp.domain import EndpointId, EngineMetrics, Feedback, Outcome, PickId, ServedModel
from epp.prompts.request import InferenceRequest
from epp.scheduling.adapters import LoraPlacementScorer
from epp.scheduling.view import SchedulingView
from tests.unit.epp.views import POOL, pool_of, spec_of, view_of

SLOTS = 2
NAMES = tuple("abcdefgh")


def fleet(names: Sequence[str] = NAMES, slots: int = SLOTS) -> tuple[PoolState, Builtin]:
    pool, known = pool_of(spec_of(*names), 0.0)
    for name in names:
        pool.scraped(EndpointId(name), EngineMetrics(0, 0, 0.0, max_adapters=slots, started_at=1.0), 0.0)
    return pool, known


def view(pool: PoolState, adapter: str) -> SchedulingView:
    return view_of(pool, request_for(adapter), 1.0)


def request_for(adapter: str) -> InferenceRequest:
    return InferenceRequest(model=adapter, target_model=adapter)


def send(pool: PoolState, adapter: str, to: str) -> RequestPlaced:
    """A request for the adapter is placed there."""
    request, shares = request_for(adapter), (Share(pool.roster.members[EndpointId(to)], 100),)
    placement = Placement(
        PickId("r-1"), POOL, shares, adapter, adapter, "", "", 0, 100, 0, 0, (), 0, None, 1.0, notes={}
    )  # fmt: skip
    placed = RequestPlaced(placement, Placing(request, (), None, 1.0, {}))
    pool.handle(placed, 1.0)
    return placed


def end(pool: PoolState, placed: RequestPlaced) -> None:
    pool.handle(RequestSettled(placed.placement, Outcome.ENDED), 2.0)


def homes(pool: PoolState, adapter: str) -> set[str]:
    found = view(pool, adapter)
    return {endpoint.id for endpoint, is_home in zip(found.endpoints, found.adapter_home, strict=True) if is_home}


def test_an_adapter_has_one_home_and_adapters_spread_evenly() -> None:
    pool, _ = fleet()
    counts = Counter(home for number in range(400) for home in homes(pool, f"adapter-{number}"))
    assert sum(counts.values()) == 400
    assert 30 <= min(counts.values()) <= max(counts.values()) <= 75


def test_homes_of_other_adapters_stay_when_an_endpoint_leaves() -> None:
    pool, _ = fleet()
    before = {number: homes(pool, f"adapter-{number}") for number in range(100)}
    pool.replace(spec_of(*NAMES[:-1]), 1.0)
    pool.pass_time(1000.0)
    moved = [number for number in before if homes(pool, f"adapter-{number}") != before[number]]
    assert moved == [number for number, found in before.items() if found == {NAMES[-1]}]


def test_homes_follow_the_load_of_the_adapter_up_and_down() -> None:
    pool, _ = fleet()
    (home,) = homes(pool, "hot")
    placed = [send(pool, "hot", home) for _ in range(3 * HOME_REQUESTS)]
    assert len(homes(pool, "hot")) == 4  # of 12 requests and the next one, each takes 4
    assert home in homes(pool, "hot")
    for each in placed[HOME_REQUESTS:]:
        end(pool, each)
    assert len(homes(pool, "hot")) == 2


def test_an_endpoint_whose_slots_all_run_others_is_passed_over() -> None:
    pool, _ = fleet()
    (home,) = homes(pool, "mine")
    placed = [send(pool, f"other-{number}", home) for number in range(SLOTS)]
    assert home not in homes(pool, "mine")
    end(pool, placed[0])
    assert homes(pool, "mine") == {home}


def test_the_adapter_used_least_recently_makes_room_and_never_one_in_use() -> None:
    pool, known = fleet(("a",))
    first = send(pool, "first", "a")
    end(pool, send(pool, "second", "a"))
    end(pool, send(pool, "third", "a"))
    assert known.adapters.loaded(0) == ("first", "third")
    end(pool, first)
    end(pool, send(pool, "fourth", "a"))
    assert known.adapters.loaded(0) == ("third", "fourth")


def test_what_engines_run_for_others_is_loaded_and_a_restart_unloads_all() -> None:
    pool, known = fleet(("a",))
    end(pool, send(pool, "mine", "a"))
    running = EngineMetrics(0, 1, 0.0, frozenset({"theirs"}), max_adapters=SLOTS, started_at=1.0)
    pool.scraped(EndpointId("a"), running, 1.0)
    assert known.adapters.loaded(0) == ("mine", "theirs")
    pool.scraped(EndpointId("a"), EngineMetrics(0, 0, 0.0, max_adapters=SLOTS, started_at=2.0), 2.0)
    assert known.adapters.loaded(0) == ()


def test_requests_are_counted_by_what_they_find() -> None:
    pool, known = fleet(("a",))
    send(pool, "one", "a")
    send(pool, "one", "a")
    send(pool, "two", "a")
    send(pool, "three", "a")
    assert known.adapters.placed == {"loads": 2, "loaded": 1, "waits": 1}


@pytest.mark.parametrize("listed", [True, False])
def test_a_base_model_has_no_home_once_a_server_lists_it(listed: bool) -> None:
    pool, _ = fleet()
    if listed:
        pool.models_listed(EndpointId("a"), (ServedModel("base", {"id": "base"}),), 1.0)
    assert bool(homes(pool, "base")) is not listed
    pool.models_listed(EndpointId("a"), (ServedModel("lora", {"id": "lora", "parent": "base"}),), 1.0)
    assert homes(pool, "lora")


def test_a_name_that_the_server_refuses_takes_no_slot() -> None:
    pool, known = fleet(("a",))
    end(pool, send(pool, "mine", "a"))
    placed = send(pool, "no such adapter", "a")
    end(pool, placed)
    member = pool.roster.members[EndpointId("a")]
    refused = Feedback(PickId("r-1"), POOL, True, member.id, 404)
    pool.reported(Report(placed.placement, refused, member), 2.0)
    assert known.adapters.loaded(0) == ("mine",)


def test_a_pool_without_adapters_has_no_homes_and_no_opinion() -> None:
    pool, known = fleet(slots=0)
    assert homes(pool, "m") == set()
    assert LoraPlacementScorer().score(view(pool, "m")) == [0.0] * len(NAMES)
    send(pool, "m", "a")
    assert not known.adapters.placed


def test_the_scorer_prefers_a_home_that_has_it_then_any_that_has_it_then_a_home() -> None:
    pool, _ = fleet()
    (home,) = homes(pool, "mine")
    other, full = [name for name in NAMES if name != home][:2]
    for number in range(SLOTS):
        send(pool, f"other-{number}", full)
    end(pool, send(pool, "mine", other))

    def scores() -> dict[str, float]:
        found = view(pool, "mine")
        return dict(zip([each.id for each in found.endpoints], LoraPlacementScorer().score(found), strict=True))

    before = scores()
    assert (before[home], before[other], before[full]) == (0.4, 0.7, 0.0)
    assert {before[name] for name in NAMES if name not in (home, other, full)} == {0.1}
    end(pool, send(pool, "mine", home))
    assert scores()[home] == 1.0


def test_rankings_of_a_million_names_are_bounded() -> None:
    _, known = fleet()
    limit = RANKINGS_LIMIT // len(NAMES)
    for number in range(limit + 100):
        assert len(known.adapters.ranking(f"name-{number}")) == len(NAMES)
    assert known.adapters.rankings <= limit
