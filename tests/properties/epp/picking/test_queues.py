"""Laws of a picker with queues, under any order of requests, ends, cancellations, endpoints and time.

Each request gets one verdict; the pool never carries more than it has room for; and nobody waits while it has room.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from epp.domain import PickId
from tests.unit.epp.admission.queues import IDS, SLOTS, Client, Queues

SLOTS_PER_ENDPOINT = 2
TEXT = f"""{SLOTS}
  defaultRequestTTL: 30s
  noEndpointRequestTTL: 5s
  defaultPriorityBand: {{maxRequests: 6, fairnessPolicyRef: token-fairness-policy}}
  defaultNegativePriorityBand: {{maxRequests: 6, fairnessPolicyRef: round-robin-fairness-policy}}
"""


class QueuesMachine(RuleBasedStateMachine):
    """Holds the picker to what its clients got."""

    def __init__(self) -> None:
        super().__init__()
        self.queues = Queues(TEXT)
        self.now = 1.0
        self.endpoints = 4
        self.clients: list[Client] = []
        self.cancelled: list[Client] = []
        self.live: list[PickId] = []

    def collect(self) -> None:
        """Note the picks that came."""
        for client in self.clients:
            assert len(client.verdicts) <= 1
        self.live += [pick.id for client in self.clients for pick in client.picks]
        self.clients = [client for client in self.clients if not client.verdicts]

    @property
    def in_flight(self) -> int:
        return sum(self.queues.picker.running().values())

    @rule(objective=st.sampled_from(("interactive", "standard", "batch")), flow=st.sampled_from("ab"))
    def arrive(self, objective: str, flow: str) -> None:
        self.clients.append(self.queues.send(self.now, objective, flow=flow))
        self.collect()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        pick = data.draw(st.sampled_from(self.live))
        self.live.remove(pick)
        self.queues.end(pick, self.now)
        self.collect()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.clients.remove(client)
        self.cancelled.append(client)
        self.queues.cancel(client, self.now)
        self.collect()

    @rule(seconds=st.floats(0.01, 8.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.queues.scrape(self.now)
        self.queues.picker.pass_time(self.now)
        self.collect()

    @rule(endpoints=st.integers(0, 4))
    def change_endpoints(self, endpoints: int) -> None:
        self.endpoints = endpoints
        self.queues.pool(endpoints, self.now)
        self.queues.scrape(self.now)
        self.collect()

    @invariant()
    def one_verdict_at_most_and_none_after_a_cancellation(self) -> None:
        assert all(not client.verdicts for client in self.cancelled)
        assert len(self.live) == self.in_flight

    @invariant()
    def what_waits_is_what_the_clients_wait_for(self) -> None:
        waiting = sum(queue["waiting"]["requests"] for queue in self.queues.picker.queues(self.now))  # type: ignore[index]
        assert waiting == len(self.clients)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        pools = self.queues.picker.pools.describe(self.now)
        shown = {each["endpoint"]: each["in_flight"] for pool in pools for each in pool["endpoints"]}  # type: ignore[attr-defined]
        carried = sum(shown[member] for member in IDS[: self.endpoints])
        assert not self.clients or not self.endpoints or carried >= SLOTS_PER_ENDPOINT * self.endpoints


TestQueues = QueuesMachine.TestCase
TestQueues.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
