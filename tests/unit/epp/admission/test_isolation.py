"""What a crowd costs others, in virtual time: a pool of four endpoints with eight slots each, 20 seconds of arrivals.

Answers take the time of a slot, whatever else runs there: what is measured is the gate alone.
"""

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

from epp.domain import Feedback, Pick, Verdict
from tests.unit.epp.admission.queues import POOL, SLOTS, Queues

SECONDS, ANSWER_SECONDS, PERIOD = 20.0, 1.25, 0.5
EIGHT_SLOTS = SLOTS.replace("maxConcurrency: 2", "maxConcurrency: 8")
HOLDBACK = EIGHT_SLOTS.replace(
    "{type: queue-scorer}", "{type: queue-scorer}, {type: priority-holdback-policy, parameters: {minCeiling: 0.75}}"
)


@dataclass(eq=False)
class Waiter:
    """One request: when it came, and what it waited for its pick."""

    name: str
    came: float
    waits: dict[str, list[float]]
    picks: list[Pick] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)  # those that came at once

    def decide(self, verdict: Verdict, now: float) -> None:
        if isinstance(verdict, Pick):
            self.picks.append(verdict)
            self.waits.setdefault(self.name, []).append(now - self.came)


def waits(text: str, rates: dict[tuple[str, str], float]) -> dict[str, list[float]]:
    """Seconds that served requests waited, by flow; `rates` are requests a second by objective and flow."""
    queues, random, numbers = Queues(text), Random(1), count()
    events: list[tuple[float, int, str, object]] = []
    for (objective, flow), rate in rates.items():
        at = random.expovariate(rate)
        while at < SECONDS:
            heappush(events, (at, next(numbers), "arrive", (objective, flow)))
            at += random.expovariate(rate)
    for step in range(int(SECONDS / PERIOD)):
        heappush(events, (step * PERIOD, next(numbers), "pass", None))
    found: dict[str, list[float]] = {}
    waiting: list[Waiter] = []
    while events:
        now, _, kind, what = heappop(events)
        if kind == "arrive":
            objective, flow = what  # type: ignore[misc]
            waiter = Waiter(flow, now, found)
            for verdict in queues.send(now, objective, flow=flow, client=waiter).verdicts:  # type: ignore[arg-type]
                waiter.decide(verdict, now)
            waiting.append(waiter)
        elif kind == "end":
            queues.picker.observe(Feedback(what, POOL, is_final=True, completion_tokens=40), now)  # type: ignore[arg-type]
        else:
            queues.scrape(now)
            queues.picker.pass_time(now)
        for pick in (pick for each in waiting for pick in each.picks):
            heappush(events, (now + ANSWER_SECONDS * random.uniform(0.5, 1.5), next(numbers), "end", pick.id))
        waiting = [each for each in waiting if not each.picks]
    return found


def percentile(values: list[float], share: float) -> float:
    """The nearest rank."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


def test_interactive_requests_do_not_wait_beside_batch_that_would_fill_the_pool_twice() -> None:
    text = (
        HOLDBACK
        + "  usageLimitPolicyPluginRef: priority-holdback-policy\n  priorityBands: [{priority: 1}, {priority: -1}]\n"
    )

    found = waits(text, {("interactive", "chat"): 5.0, ("batch", "night"): 50.0})

    assert percentile(found["chat"], 0.99) == 0.0
    assert percentile(found["night"], 0.5) > 1.0


def test_a_tenant_waits_for_less_than_a_third_of_an_answer_beside_one_that_sends_ten_times_as_much() -> None:
    text = EIGHT_SLOTS + "  defaultPriorityBand: {fairnessPolicyRef: token-fairness-policy}\n"

    found = waits(text, {("standard", "small"): 4.0, ("standard", "large"): 40.0})

    assert percentile(found["small"], 0.9) < 0.3 * ANSWER_SECONDS
    assert percentile(found["large"], 0.5) > ANSWER_SECONDS
