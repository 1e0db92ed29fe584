"""Expected time to the first token, as a filter (the affinity gate) and as a scorer. Pure.

At each endpoint, with the prefill speed measured there and its backlog (the prefill reserved there and not done yet),

    wait   = backlog + requests there × request cost
    ttft   = wait + uncached prompt tokens × seconds per token
    cost   = wait + requests there × gap weight × (1 − 1 / crowd) × what each adds to decoding an answer
    saving = patience × (matched tokens − those at the lowest cost) × seconds per token

The gate keeps an endpoint while its cost is at most the lowest anywhere, plus the saving of its cache, plus a slack.
The crowd is the requests in flight that share the prefix. Computing it at one endpoint more is paid once and saved by
all that go there: while fewer hold it than the crowd needs, the saving is divided by the crowd. So a conversation stays
while waiting costs less than computing, and a prefix that many share spreads before a lead costs more than the slack.
A newcomer gets the conversations that begin with its share of the prefixes, whatever is cached elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import add, mul

from epp.scheduling.plugin import parameter
from epp.scheduling.view import SchedulingView

REQUEST_COST_MS = 2.0
_WHY_COST = "what each request there delays the next first token: decoding shares its steps"
_WHY_PRODUCER = "which producer tells the matches"


def expected_waits(view: SchedulingView, request_cost_ms: float) -> list[float]:
    """Seconds until an endpoint would begin with this request."""
    cost = request_cost_ms / 1000
    return [*map(add, view.backlog, map(cost.__mul__, view.total))]


@dataclass(frozen=True, slots=True)
class AffinityGate:
    """Drops endpoints whose expected wait exceeds what the prefix cached there saves."""

    patience: float = parameter(1.0, "how much a saved second may cost in waiting", minimum=0)
    request_cost_ms: float = parameter(REQUEST_COST_MS, _WHY_COST, unit="milliseconds", minimum=0)
    gap_weight: float = parameter(
        0.1, "what a second more of decoding counts against a second more until the first token", minimum=0
    )
    slack_ms: float = parameter(
        50.0, "extra wait that is never worth moving for: a few engine steps", unit="milliseconds", minimum=0
    )
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", _WHY_PRODUCER, reference="prefix producer"
    )

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those worth their wait, the one with the lowest cost always; or the newcomer that takes over the prefix."""
        heirs = view.takes_over
        if True in heirs:
            return heirs
        crowd = view.crowd
        costs = self._costs(view, crowd) if crowd > 1 else expected_waits(view, self.request_cost_ms)
        best = min(costs)
        limit = best + self.slack_ms / 1000
        if max(costs) <= limit:
            return [True] * len(costs)
        keep, matches = [*map(limit.__ge__, costs)], view.matched_tokens
        least = matches[costs.index(best)]
        if max(matches) > least:
            ahead = [*compress(range(len(matches)), map(least.__lt__, matches))]  # few: who holds more of the prompt
            patience, speeds = self.patience, view.seconds_per_token
            if crowd > 1 and view.holders_missing:
                patience /= crowd
            for at in ahead:
                keep[at] = costs[at] <= limit + patience * (matches[at] - least) * speeds[at]
        return keep

    def _costs(self, view: SchedulingView, crowd: int) -> list[float]:
        """Expected waits, and what the requests there add to decoding the answers of a crowd."""
        cost, weight = self.request_cost_ms / 1000, self.gap_weight * (1 - 1 / crowd)
        each = map(cost.__add__, map(weight.__mul__, view.decode_delay))
        return [*map(add, view.backlog, map(mul, view.total, each))]


@dataclass(frozen=True, slots=True)
class ExpectedTTFTScorer:
    """Prefers the shortest expected time to the first token: waiting plus computing what is not cached."""

    cache_value: float = parameter(
        1.0, "how much a second of prefill counts against a second of waiting: computing twice also delays others",
        minimum=0,
    )  # fmt: skip
    request_cost_ms: float = parameter(REQUEST_COST_MS, _WHY_COST, unit="milliseconds", minimum=0)
    scale_ms: float = parameter(
        100.0, "an endpoint this much slower than the best scores half", unit="milliseconds", above=0
    )
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", _WHY_PRODUCER, reference="prefix producer"
    )

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 for the fastest; 1 / (1 + extra time / scale) for the others."""
        own, value = view.request.prompt_tokens, self.cache_value
        times = [
            wait + value * max(0, own - matched) * speed
            for wait, matched, speed in zip(
                expected_waits(view, self.request_cost_ms), view.matched_tokens, view.seconds_per_token, strict=True
            )
        ]
        best, scale = min(times), self.scale_ms / 1000
        return [1 / (1 + (time - best) / scale) for time in times]
