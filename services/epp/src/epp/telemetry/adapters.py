"""Adapters as a metric: what requests found where they were sent. A shell."""

from collections.abc import Callable, Mapping

from epp.domain import PoolId
from gateway.service.metrics import counters

REQUESTS = "pointsman_epp_adapter_requests_total"
_HELP = "Requests for LoRA adapters by what they found: it was loaded, loads for them, or waits for a slot."


class AdapterMetrics:
    """A counter by pool, read when somebody asks for metrics."""

    def __init__(self, totals: Callable[[], Mapping[PoolId, Mapping[str, int]]]) -> None:
        self._totals = totals

    def render(self) -> str:
        """The counter."""
        samples = [
            ((id_, found), float(count))
            for id_, pool in sorted(self._totals().items())
            for found, count in sorted(pool.items())
        ]
        return counters(REQUESTS, _HELP, ("pool", "found"), samples)
