"""Laws of flow control under any order of arrivals, dispatches, cancellations and time."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from epp.flowcontrol.ceilings import PriorityHoldback
from epp.flowcontrol.controller import FlowController
from epp.flowcontrol.items import NEVER, NOTHING, Item, Limit, Outcome, Size
from epp.flowcontrol.ordering import EarliestDeadlineOrdering, FirstComeOrdering, SloDeadlineOrdering
from epp.flowcontrol.policies import GlobalStrictFairness, RoundRobinFairness, TokenFairness
from epp.flowcontrol.settings import BandSettings, Settings

TTL = 10.0
LIMIT = Limit(requests=12, bytes=600, tokens=500)
BAND_LIMIT = Limit(requests=8)
BANDS = {
    2: BandSettings(BAND_LIMIT, GlobalStrictFairness(), SloDeadlineOrdering()),
    0: BandSettings(BAND_LIMIT, RoundRobinFairness(), FirstComeOrdering()),
    -1: BandSettings(BAND_LIMIT, TokenFairness(), EarliestDeadlineOrdering(TTL)),
}


def total(items: list[Item]) -> Size:
    """What they weigh together."""
    found = NOTHING
    for each in items:
        found = found.plus(each.size)
    return found


class FlowControllerMachine(RuleBasedStateMachine):
    """Holds the controller to a list of what waits."""

    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.controller = FlowController(
            Settings(
                LIMIT, BANDS, ttl_seconds=TTL, no_endpoint_ttl_seconds=2 * TTL, ceilings=PriorityHoldback(0.5, 1.0)
            )
        )
        self.model: dict[int, Item] = {}
        self.outcomes: Counter[int] = Counter()
        self.now = 0.0
        self.count = 0
        self.has_endpoints = True
        self.changes = 0

    def leave(self, item: Item) -> None:
        """An outcome for a request that was not settled before."""
        assert self.model.pop(item.id) == item
        self.outcomes[item.id] += 1
        assert self.outcomes[item.id] == 1

    @rule(
        target=waiting,
        flow=st.sampled_from("abc"),
        priority=st.sampled_from((2, 1, 0, -1, -2)),
        body=st.integers(0, 200),
        tokens=st.integers(0, 150),
        deadlines=st.tuples(st.none() | st.floats(0, 5), st.just(NEVER) | st.floats(0.1, 20)),
    )
    def arrive(self, flow: str, priority: int, body: int, tokens: int, deadlines: tuple[float | None, float]) -> int:
        self.count += 1
        item = Item(self.count, flow, priority, Size(1, body, tokens), self.now, *deadlines)
        in_band = sum(each.priority == priority for each in self.model.values())
        has_room = LIMIT.holds(total([*self.model.values(), item])) and (priority not in BANDS or in_band < 8)

        outcome = self.controller.enqueue(item)

        assert outcome is (None if has_room else Outcome.REJECTED_CAPACITY)
        if outcome is None:
            self.model[item.id] = item
        else:
            self.outcomes[item.id] += 1
        return item.id

    @rule(saturation=st.floats(0, 1.2))
    def dispatch(self, saturation: float) -> None:
        most_important = max((item.priority for item in self.model.values()), default=None)

        item = self.controller.next(saturation, self.now)

        if item is None:
            assert not self.model or not self.has_endpoints or self.controller.gated(saturation) is not None
        else:
            assert item.priority == most_important
            assert saturation < 1.0
            self.leave(item)

    @rule(item_id=consumes(waiting))
    def cancel(self, item_id: int) -> None:
        item = self.controller.cancel(item_id)

        assert (item is not None) is (item_id in self.model)
        if item is not None:
            self.leave(item)

    @rule(seconds=st.floats(0, TTL))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        expected = Outcome.EVICTED_TTL if self.has_endpoints else Outcome.EVICTED_NO_ENDPOINTS

        while (gone := self.controller.expire(self.now)) is not None:
            item, outcome = gone
            assert outcome is expected
            self.leave(item)

        assert all(item.gives_up_at > self.now for item in self.model.values())
        assert all(item.arrived_at + TTL > self.now for item in self.model.values()) or self.changes

    @rule()
    def lose_or_get_endpoints(self) -> None:
        self.changes += 1
        self.has_endpoints = not self.has_endpoints
        self.controller.pool_changed(self.now, has_endpoints=self.has_endpoints)

    @rule(flow=st.sampled_from("abc"), priority=st.sampled_from((2, 0, -1, 7)), tokens=st.integers(-50, 500))
    def an_answer_costs(self, flow: str, priority: int, tokens: int) -> None:
        self.controller.answered(priority, flow, tokens)

    @precondition(lambda self: self.model)
    @rule()
    def everything_leaves_in_time_while_there_is_room(self) -> None:
        """No flow starves: what waits leaves within as many dispatches as there are requests."""
        self.controller.pool_changed(self.now, has_endpoints=True)
        self.has_endpoints, self.changes = True, self.changes + 1
        for _ in range(len(self.model)):
            item = self.controller.next(0.0, self.now)
            assert item is not None
            self.leave(item)
        assert self.controller.next(0.0, self.now) is None

    @rule(flow=st.sampled_from("abc"), priority=st.sampled_from((2, 0, -1)), saturation=st.floats(0, 1.2))
    def pass_without_waiting(self, flow: str, priority: int, saturation: float) -> None:
        goes_first = all(item.priority < priority for item in self.model.values())
        assert self.controller.has_before(priority) is not goes_first
        if goes_first and saturation < self.controller.ceiling(priority):
            self.controller.passed(priority, flow, Size(1, 5, 5), self.now)

    @invariant()
    def what_waits_is_counted(self) -> None:
        assert len(self.controller) == len(self.model)
        assert self.controller.size == total([*self.model.values()])
        bands = {band.priority: band.size.requests for band, _ in self.controller.bands() if len(band)}
        assert bands == Counter(item.priority for item in self.model.values())


TestFlowController = FlowControllerMachine.TestCase
