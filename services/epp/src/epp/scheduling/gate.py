"""The affinity gate: a cached prefix attracts requests only as long as waiting for it costs less than it saves. Pure.

The time to first token at an endpoint is estimated as

    wait = backlog tokens × seconds per token + requests in flight × request cost
    own  = uncached prompt tokens × seconds per token

with the prefill speed measured there. An endpoint is kept while its wait is at most the shortest wait anywhere plus
what its cache saves this request (matched tokens × seconds per token) plus a slack. So whatever the scorers say, a
prefix never holds more than

    (matched tokens × seconds per token + slack) / cost of one such request, plus one

requests ahead of the idlest endpoint: a hot prefix spreads before it queues.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.scheduling.plugin import parameter
from epp.scheduling.view import SchedulingView


@dataclass(frozen=True, slots=True)
class AffinityGate:
    """Drops endpoints whose expected wait exceeds what the prefix cached there saves."""

    request_cost_ms: float = parameter(
        2.0, "what each request in flight delays the next first token", unit="milliseconds", minimum=0
    )
    slack_ms: float = parameter(
        20.0, "extra wait that is never worth moving for: about one engine step", unit="milliseconds", minimum=0
    )
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", "which producer tells the matches", reference="prefix-producer"
    )

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those worth their wait; the one with the shortest wait always is."""
        cost, slack = self.request_cost_ms / 1000, self.slack_ms / 1000
        speeds = view.seconds_per_token
        waits = [
            backlog * speed + max(requests, load) * cost
            for backlog, speed, requests, load in zip(
                view.backlog_tokens, speeds, view.in_flight, view.running, strict=True
            )
        ]
        limit = min(waits) + slack
        return [
            wait <= limit + matched * speed
            for wait, matched, speed in zip(waits, view.matched_tokens, speeds, strict=True)
        ]
