"""Laws of flow control under any order of arrivals, dispatches, cancellations and time."""

from collections import Counter
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from epp.admission.flowcontrol.ceilings import PriorityHoldback
from epp.admission.flowcontrol.controller import BandSettings, FlowController, Settings
from epp.admission.flowcontrol.fairness import Fairness, GlobalStrict, RoundRobin, TokenShare
from epp.admission.flowcontrol.ordering import earliest_deadline, first_come, slo_deadline
from epp.admission.flowcontrol.waiting import NOTHING, Item, Limit, Outcome, Size

TTL = 10.0
LIMIT = Limit(requests=12, bytes=600, tokens=500)
BAND_LIMIT = Limit(requests=8)
FAIRNESS: tuple[Callable[[], Fairness], ...] = (GlobalStrict, RoundRobin, TokenShare)
BANDS = {
    2: BandSettings(BAND_LIMIT, GlobalStrict, slo_deadline),
    0: BandSettings(BAND_LIMIT, RoundRobin, first_come),
    -1: BandSettings(BAND_LIMIT, TokenShare, earliest_deadline(TTL)),
}


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
        slo=st.none() | st.floats(0, 5),
    )
    def arrive(self, flow: str, priority: int, body: int, tokens: int, slo: float | None) -> int:
        self.count += 1
        item = Item(self.count, flow, priority, Size(1, body, tokens), self.now, slo)
        sizes = [each.size for each in self.model.values()]
        total = sum(sizes, NOTHING) + item.size
        in_band = sum(each.priority == priority for each in self.model.values())
        has_room = LIMIT.holds(total) and (priority not in BANDS or in_band < 8)

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

        for item, outcome in self.controller.expire(self.now):
            assert outcome is expected
            self.leave(item)

        deadline = self.controller.deadline()
        assert (deadline is None) is (not self.model)
        assert deadline is None or deadline > self.now

    @rule()
    def lose_or_get_endpoints(self) -> None:
        self.has_endpoints = not self.has_endpoints
        self.controller.pool_changed(self.now, has_endpoints=self.has_endpoints)

    @rule(flow=st.sampled_from("abc"), priority=st.sampled_from((2, 0, -1, 7)), tokens=st.integers(-50, 500))
    def an_answer_costs(self, flow: str, priority: int, tokens: int) -> None:
        self.controller.charge(priority, flow, tokens)

    @precondition(lambda self: self.model)
    @rule()
    def drain(self) -> None:
        for item in self.controller.drain():
            self.leave(item)
        assert not self.model

    @invariant()
    def what_waits_is_counted(self) -> None:
        assert len(self.controller) == len(self.model)
        assert self.controller.size == sum((item.size for item in self.model.values()), NOTHING)
        bands = {band.priority: band.size.requests for band in self.controller.bands() if len(band)}
        assert bands == Counter(item.priority for item in self.model.values())


TestFlowController = FlowControllerMachine.TestCase
