"""What the picker reports of sick servers to its observer: who is avoided, who is back, and each failed attempt."""

from random import Random

from epp.config import default_config
from epp.datalayer.report import UNREACHED
from epp.datalayer.standing.signals import Signal
from epp.domain import EndpointId, PoolId, ScrapeFault
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from tests.unit.epp.picking.driven import IDS, POOL, ask, final, scrape, spec

BAD = IDS[0]


class Announced(NullObserver):
    """Keeps who is avoided and who is back."""

    def __init__(self) -> None:
        self.events: list[tuple[str, EndpointId]] = []
        self.failures: list[Signal] = []

    def ejected(self, pool: PoolId, endpoint: EndpointId, reason: str) -> None:
        self.events.append(("ejected", endpoint))

    def returned(self, pool: PoolId, endpoint: EndpointId) -> None:
        self.events.append(("returned", endpoint))

    def attempt_failed(self, pool: PoolId, signal: Signal) -> None:
        self.failures.append(signal)


def test_each_failed_attempt_is_counted_once_by_its_cause() -> None:
    announced = Announced()
    made = Picker(default_config(), random=Random(1), replica="r", observer=announced)
    made.replace_pools({POOL: spec()}, 0.0)
    scrape(made, 0.5)
    pick = ask(made, "word " * 100, 1.0)
    first, second = pick.targets[0], next(each for each in IDS if each != pick.targets[0])
    refused = final(pick, status=503, served=first, flags=(min(UNREACHED),))
    made.observe(refused._replace(is_final=False, failed_attempt=1), 1.1)
    made.observe(final(pick, status=429, served=second, attempts=2), 1.2)

    assert announced.failures == [Signal.UNREACHABLE, Signal.OVERLOADED]


def test_ejection_and_return_are_announced_once_each() -> None:
    announced = Announced()
    made = Picker(default_config(), random=Random(1), replica="r", observer=announced)
    made.replace_pools({POOL: spec()}, 0.0)
    scrape(made, 0.5)
    for now in (1.0, 1.1, 1.2, 1.3):
        made.scraped(POOL, BAD, ScrapeFault.REFUSED, now)
        made.pass_time(now)
    assert announced.events == [("ejected", BAD)]
    scrape(made, 2.0)
    for now in (2.1, 5.3, 6.3):
        made.pass_time(now)
    assert announced.events == [("ejected", BAD), ("returned", BAD)]
