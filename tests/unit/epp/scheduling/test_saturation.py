"""Upstream's vectors for the saturation detectors and admission."""

from dataclasses import replace
from random import Random

import pytest

from epp.config import default_config
from epp.datalayer.builtin import Builtin
from epp.datalayer.pool import PoolState
from epp.domain import Endpoint, EndpointId, EngineMetrics, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.prompts.request import InferenceRequest
from epp.scheduling.saturation import ConcurrencyDetector, ProbabilisticAdmitter, UtilizationDetector
from epp.scheduling.units import Seconds
from epp.scheduling.view import SchedulingView
from epp.testing import NOBODY, candidate, decide
from gateway.wire import protocol
from gateway.wire.errors import ErrorCode
from tests.unit.epp.views import pool_of, spec_of, view_of

NOW = 100.0
DETECTOR = UtilizationDetector(
    queue_depth_threshold=5, kv_cache_util_threshold=0.9, metrics_staleness_threshold=Seconds(0.1)
)


def pool(*metrics: EngineMetrics | None, age: float = 0.0, stale: int = 0) -> tuple[PoolState, Builtin]:
    """Endpoints with these metrics, the last `stale` of them long ago."""
    names = [f"10.0.0.{at}:8000" for at in range(len(metrics))]
    made, known = pool_of(spec_of(*names))
    for at, (name, found) in enumerate(zip(names, metrics, strict=True)):
        if found is not None:
            made.scraped(EndpointId(name), found, NOW - (60.0 if at >= len(metrics) - stale else age))
    return made, known


def view(*metrics: EngineMetrics | None, age: float = 0.0, priority: int = 0, stale: int = 0) -> SchedulingView:
    """A view of them all."""
    made, _ = pool(*metrics, age=age, stale=stale)
    return view_of(made, InferenceRequest(model="m", priority=priority), NOW)


def load(waiting: int, usage: float) -> EngineMetrics:
    return EngineMetrics(waiting=waiting, running=1, kv_usage=usage)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (view(), 1.0),
        (view(load(2, 0.5)), 0.5556),
        (view(load(2, 0.5), stale=1), 1.0),
        (view(load(10, 0.5)), 2.0),
        (view(load(0, 0.95)), 1.0556),
        (view(None), 1.0),
        (view(load(1, 0.1), load(0, 0.2)), 0.2111),
        (view(load(1, 0.1), load(1, 0.1), stale=1), 0.6),
        (view(load(1, 0.1), load(15, 0.1)), 1.6),
        (view(load(0, 0.99), load(20, 0.1), load(0, 0.0), stale=1), 2.0333),
        (view(load(5, 0.1)), 1.0),
    ],
)
def test_utilization_saturation_is_the_mean_of_the_fuller_sides(seen: SchedulingView, expected: float) -> None:
    assert DETECTOR.saturation(seen) == pytest.approx(expected, abs=1e-4)


def test_reserved_prefill_can_count_as_saturation() -> None:
    made, known = pool(load(0, 0.0), load(0, 0.0))
    known.prefill.of(0).free_at = NOW + 3.0
    seen = view_of(made, InferenceRequest(model="m"), NOW)
    assert DETECTOR.saturation(seen) == 0.0
    with_backlog = UtilizationDetector(prefill_backlog_threshold=Seconds(2.0))
    assert with_backlog.saturation(seen) == pytest.approx(0.75)


def test_metrics_count_as_fresh_for_three_of_their_scrape_intervals() -> None:
    # Upstream calls them stale after its threshold alone: an endpoint scraped once a second would always shed.
    idle = view(EngineMetrics(waiting=0, running=0, kv_usage=0.0), age=0.9)
    assert DETECTOR.saturation(idle) == 0.0


def test_ten_idle_seconds_do_not_make_a_sheddable_request_shed() -> None:
    picker = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver())
    pool, id_ = PoolId("default/pool"), EndpointId("10.0.0.1:8000")
    spec = PoolSpec(pool, (Endpoint(id_, "10.0.0.1", 8000, "a"),), {"batch": -1})
    picker.replace_pools({pool: spec}, 0.0)
    now = 0.0
    while now < 10.0:  # the scraper's rhythm while nothing happens
        picker.scraped(pool, id_, EngineMetrics(waiting=0, running=0, kv_usage=0.0), now)
        now += picker.scrape_interval(pool, id_, now)
    request = Request(pool, "POST", "/v1/completions", {protocol.OBJECTIVE: "batch"}, b'{"model":"m","prompt":"p"}')
    last = now - picker.scrape_interval(pool, id_, now)
    assert isinstance(picker.submit(request, NOBODY, last + 0.99), Pick)


def test_as_a_filter_it_keeps_endpoints_with_room_or_all() -> None:
    assert list(DETECTOR.keep(view(load(4, 0.5), load(5, 0.1), load(0, 0.95)))) == [True, False, False]
    assert list(DETECTOR.keep(view(load(9, 0.5), load(5, 0.1)))) == [True, True]
    assert list(DETECTOR.keep(view(load(0, 0.1), load(0, 0.1), stale=1))) == [True, False]
    roomy = UtilizationDetector(queue_depth_threshold=5, kv_cache_util_threshold=0.9, headroom=0.5)
    assert list(roomy.keep(view(load(7, 0.5), load(8, 0.1)))) == [True, False]


def in_flight(*counts: int) -> SchedulingView:
    made, known = pool(*(load(0, 0.0) for _ in counts))
    for slot, count in enumerate(counts):
        for _ in range(count):
            known.load.of(slot, NOW).start(100, NOW)
    return view_of(made, InferenceRequest(model="m"), NOW)


@pytest.mark.parametrize(
    ("detector", "counts", "expected"),
    [
        (ConcurrencyDetector(max_concurrency=10), (5, 0), 0.25),
        (ConcurrencyDetector(max_concurrency=10), (10, 10), 1.0),
        (ConcurrencyDetector(concurrency_mode="tokens", max_token_concurrency=1000), (5, 0), 0.25),
        (
            ConcurrencyDetector(concurrency_mode="hybrid", max_concurrency=10, max_token_concurrency=500),
            (5, 0),
            0.5,
        ),
        (ConcurrencyDetector(), (), 1.0),
    ],
)
def test_concurrency_saturation_counts_what_is_in_flight(
    detector: ConcurrencyDetector, counts: tuple[int, ...], expected: float
) -> None:
    assert detector.saturation(in_flight(*counts)) == pytest.approx(expected)


def test_as_a_filter_concurrency_may_keep_nobody() -> None:
    detector = ConcurrencyDetector(max_concurrency=2)
    assert list(detector.keep(in_flight(1, 2))) == [True, False]
    assert list(detector.keep(in_flight(2, 3))) == [False, False]
    assert list(ConcurrencyDetector(max_concurrency=2, headroom=0.6).keep(in_flight(3, 4))) == [True, False]


def test_probabilistic_admission_spares_everybody_but_the_sheddable() -> None:
    admitter = ProbabilisticAdmitter()
    full = view(load(50, 0.9), priority=0)
    assert all(admitter.admits(full) for _ in range(20))
    assert not any(admitter.admits(view(load(50, 0.9), priority=-1)) for _ in range(20))
    assert all(admitter.admits(view(load(0, 0.0), priority=-1)) for _ in range(20))


def test_the_chance_of_refusal_grows_with_the_power_of_saturation() -> None:
    # One of five waiting on the only endpoint: 0.2⁵ × 300 = 0.096.
    random, refused = Random(7), 0
    seen = view(load(1, 0.0), priority=-1)
    for _ in range(4000):
        drawn = replace(seen, random=random)
        refused += not ProbabilisticAdmitter().admits(drawn)
    assert refused / 4000 == pytest.approx(0.096, abs=0.02)


@pytest.mark.parametrize(
    ("power", "k", "waiting", "expected"),
    [
        (5.0, 300.0, 1, 0.096),
        (5.0, 300.0, 0, 0.0),
        (500.0, 300.0, 100, 1.0),
        (1.0, 0.1, 5, 0.1),
        (1e6, 1.0, 10**9, 1.0),
    ],
)
def test_the_chance_of_refusal_never_leaves_its_range(power: float, k: float, waiting: int, expected: float) -> None:
    refusals = 0
    seen, random = view(load(waiting, 0.0), priority=-1), Random(7)
    for _ in range(2000):
        drawn = replace(seen, random=random)
        refusals += not ProbabilisticAdmitter(power=power, k=k).admits(drawn)
    assert refusals / 2000 == pytest.approx(expected, abs=0.03)


SHEDDING = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
"""


@pytest.mark.parametrize(
    ("waiting", "objective", "is_admitted"),
    [(9, "important", True), (0, "sheddable", True), (9, "sheddable", False), (9, "unknown", True)],
)
def test_only_sheddable_requests_are_shed_and_only_when_saturated(
    waiting: int, objective: str, is_admitted: bool
) -> None:
    decided = decide(
        SHEDDING,
        [candidate("a", waiting=waiting), candidate("b", waiting=waiting)],
        {"model": "m", "prompt": "p"},
        headers={protocol.OBJECTIVE: objective},
        priorities={"important": 4, "sheddable": -1},
    )
    assert (decided.rejection is None) == is_admitted
    if decided.rejection is not None:
        assert (decided.rejection.status, decided.rejection.code) == (429, ErrorCode.POOL_SATURATED)
        assert decided.rejection.retry_after


def test_a_denied_admission_is_429_not_500() -> None:
    config = SHEDDING + "- {type: probabilistic-admitter}\n"
    decided = decide(
        config, [candidate("a", waiting=4, kv_usage=0.79)], {"model": "m", "prompt": "p"},
        headers={protocol.OBJECTIVE: "sheddable"}, priorities={"sheddable": -1},
    )  # fmt: skip
    assert decided.rejection is not None
    assert decided.rejection.status == 429
