"""Laws of the schedule of scrapes, whatever is answered, too late, or never."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, ScrapeFault
from epp.scraping.schedule import slots
from epp.scraping.schedule.slots import FAILING_INTERVAL_SECONDS, FULL_SECONDS, Slots, until_next, until_slot
from epp.scraping.schedule.target import ScrapeTarget, Step

FOUND = [EngineMetrics(), *ScrapeFault]
POOL = PoolId("ns/pool")


class ScheduleMachine(RuleBasedStateMachine):
    targets = Bundle("targets")

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots()
        self.random = Random(1)
        self.all: list[ScrapeTarget] = []
        self.now = 0.0

    @rule(target=targets)
    def join(self) -> ScrapeTarget:
        made = ScrapeTarget(POOL, Endpoint(EndpointId(f"10.0.0.{len(self.all)}:80"), "h", 80, "n"))
        self.all.append(made)
        return made

    @rule(scraped=targets)
    def start(self, scraped: ScrapeTarget) -> None:
        if scraped.step is not Step.IDLE:
            return
        before = scraped.round
        if self.slots.take(scraped):
            assert scraped.begin() == before + 1
            assert scraped.is_current(before + 1)
            assert not scraped.is_current(before)
        else:
            assert FULL_SECONDS <= until_slot(self.random) <= 3 * FULL_SECONDS

    @rule(scraped=targets, found=st.sampled_from(FOUND), seconds=st.floats(0, 5))
    def answer(self, scraped: ScrapeTarget, found: EngineMetrics | ScrapeFault, seconds: float) -> None:
        if scraped.step is not Step.SCRAPING:
            return
        self.now += seconds
        before = scraped.fault
        has_changed = scraped.scraped(found)
        assert has_changed is (scraped.fault is not before)
        if scraped.are_models_due(self.now, 2.0):
            assert scraped.fault is None
            assert not scraped.are_models_due(self.now + 1.9, 2.0)
            scraped.list_models()
            assert scraped.is_current(scraped.round)
        self.finish(scraped)

    @rule(scraped=targets)
    def leave(self, scraped: ScrapeTarget) -> None:
        if scraped.is_busy:
            self.slots.give_back(scraped)
        scraped.leave()
        assert not scraped.is_current(scraped.round)
        scraped.end()
        assert scraped.step is Step.GONE

    @rule(scraped=targets, status=st.none() | st.sampled_from([200, 401, 403, 404, 500]), body=st.binary(max_size=2))
    def list_models(self, scraped: ScrapeTarget, status: int | None, body: bytes) -> None:
        is_new = scraped.models_answered(status, body)
        assert is_new is (status == 200 and body != scraped.models_seen)
        assert scraped.is_locked is (status in (401, 403))

    def finish(self, scraped: ScrapeTarget) -> None:
        """The end of a round."""
        self.slots.give_back(scraped)
        scraped.end()
        delay = until_next(scraped, 0.05, self.random)
        if scraped.fault is None:
            assert delay == 0.05
        else:
            assert 0.75 * FAILING_INTERVAL_SECONDS <= delay <= 1.25 * FAILING_INTERVAL_SECONDS

    @invariant()
    def slots_are_what_is_busy_and_within_their_bounds(self) -> None:
        busy = [target for target in self.all if target.is_busy]
        assert self.slots.retries == sum(target.is_retry for target in busy) <= slots.MAX_RETRIES
        assert self.slots.scrapes == sum(not target.is_retry for target in busy) <= slots.MAX_SCRAPES


TestSchedule = ScheduleMachine.TestCase
TestSchedule.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def failing(number: int) -> ScrapeTarget:
    target = ScrapeTarget(POOL, Endpoint(EndpointId(f"10.0.{number}.1:80"), "h", 80, "n"))
    target.fault = ScrapeFault.REFUSED
    return target


def test_endpoints_that_fail_never_take_the_slots_of_the_others() -> None:
    taken = Slots()
    assert sum(taken.take(failing(number)) for number in range(200)) == slots.MAX_RETRIES

    assert taken.take(ScrapeTarget(POOL, Endpoint(EndpointId("10.1.0.1:80"), "h", 80, "n")))
