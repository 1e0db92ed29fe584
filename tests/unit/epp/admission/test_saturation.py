"""How full a pool is for its gate: by stage, and measured no more often than that takes."""

from dataclasses import dataclass, field, replace
from random import Random

from epp.admission.saturation import MEASURED_SECONDS, PoolSaturation
from epp.domain import Endpoint, EndpointId
from epp.scheduling.labels import ROLE_LABEL
from epp.scheduling.profile import NoTrace
from epp.scheduling.view import SchedulingView


@dataclass
class Detector:
    """The mean of figures by endpoint, and how often it was asked."""

    figures: dict[str, float] = field(default_factory=dict)
    calls: int = 0

    def saturation(self, view: SchedulingView) -> float:
        self.calls += 1
        return sum(self.figures.get(endpoint.name, 0.0) for endpoint in view.endpoints) / len(view)


def view(**roles: str) -> SchedulingView:
    """Endpoints by name, with their roles."""
    endpoints = [
        Endpoint(EndpointId(name), name, 8000, name, {ROLE_LABEL: role} if role else {}) for name, role in roles.items()
    ]
    return SchedulingView(endpoints, Random(1), _slots=range(len(endpoints)))


TRACE = NoTrace()


def test_the_fuller_stage_counts_where_prefill_and_decode_are_split() -> None:
    detector = Detector({"a": 0.2, "b": 0.9, "c": 0.3})

    found = PoolSaturation(detector).by_stage(view(a="prefill", b="decode", c="both"), TRACE)

    assert found == {"prefill": 0.25, "decode": 0.6, "effective": 0.6}


def test_without_roles_there_is_one_stage() -> None:
    assert PoolSaturation(Detector({"a": 0.5})).by_stage(view(a="", b=""), TRACE) == {"effective": 0.25}


def test_what_surely_has_room_is_not_measured() -> None:
    detector, pool = Detector(), view(**dict.fromkeys("abcdefgh", ""))
    saturation = PoolSaturation(detector)

    assert all(saturation.at_most(1.0, pool, TRACE, 5.0) < 1.0 for _ in range(7))
    assert detector.calls == 1
    saturation.at_most(1.0, pool, TRACE, 5.0)
    assert detector.calls == 2
    saturation.at_most(1.0, pool, TRACE, 5.0 + 2 * MEASURED_SECONDS)
    assert detector.calls == 3


def test_other_endpoints_are_measured_anew() -> None:
    detector, pool = Detector({"a": 2.0}), view(b="", c="")
    saturation = PoolSaturation(detector)

    assert saturation.at_most(1.0, pool, TRACE, 5.0) == 0.0
    assert saturation.at_most(1.0, replace(pool, endpoints=view(a="").endpoints), TRACE, 5.0) == 2.0


def test_a_large_pool_that_is_full_is_not_measured_at_each_of_its_scrapes() -> None:
    names = [f"e{number}" for number in range(1000)]
    detector, pool = Detector(dict.fromkeys(names, 1.0)), view(**dict.fromkeys(names, ""))
    saturation = PoolSaturation(detector)

    assert all(saturation.at_most(1.0, pool, TRACE, 5.0 + scrape / 20_000) >= 1.0 for scrape in range(1000))

    assert detector.calls < 10
