"""Metrics of flow control, under the reference's names.

Counters and histograms are fed as requests leave; gauges are computed when somebody asks for metrics, out of what
/debug/queues shows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.service.metrics import Labels, Registry, gauges

SECONDS: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WORK: Final = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
FLOW: Final = ("fairness_id", "priority", "inference_pool", "model_name", "target_model_name")
BAND: Final = ("priority", "inference_pool")
UNITS: Final = ("requests", "bytes")
# An outcome that is not there yet.
_NOT_YET: Final = "NotYetFinalized"
_PREFIX: Final = "inference_extension_flow_control_"

# Combinations of fairness ids, models and priorities that have series; each of a histogram takes some 3 KB.
FLOWS_LIMIT: Final = 60

Word = Callable[[str], str]
Queues = Sequence[Mapping[str, Any]]
Samples = Iterable[tuple[Labels, float]]


class Queued(Protocol):
    """A request that came to the gate."""

    @property
    def pool(self) -> str: ...
    @property
    def fairness_id(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def model(self) -> str: ...
    @property
    def target_model(self) -> str: ...


class QueueMetrics:
    """Observer of the gate. `model` and `flow` bound what clients choose."""

    def __init__(self, registry: Registry, model: Word, flow: Word) -> None:
        self._registry = registry
        self._model, self._flow = model, flow
        name, waited = f"{_PREFIX}{{}}".format, ("fairness_id", "priority", "outcome", *FLOW[2:])
        self._waited = registry.histogram(
            name("request_queue_duration_seconds"),
            "From arrival at the gate to the outcome.",
            waited,
            SECONDS,
            most=FLOWS_LIMIT,
        )
        self._requests = registry.counter(name("requests_total"), "Requests by outcome.", ("outcome", *BAND))
        self._enqueued = registry.histogram(
            name("request_enqueue_duration_seconds"),
            "Time of letting one request wait.",
            waited[:3],
            WORK,
            most=FLOWS_LIMIT,
        )
        self._cycles = registry.histogram(
            name("dispatch_cycle_duration_seconds"), "Time of looking for one request to dispatch.", (), WORK
        )
        self._revoked = registry.counter(
            name("revocations_issued_total"), "Running requests ended for others.", ("inference_pool",)
        )

    def describe(self, queues: Callable[[], Queues]) -> None:
        """Gauges of the queues, computed when somebody asks for metrics."""
        self._registry.add(QueueGauges(queues, self._model, self._flow))

    def left(self, request: Queued, outcome: str, seconds: float) -> None:
        """A request got its outcome."""
        model, priority = self._model, str(request.priority)
        names = (model(request.model), model(request.target_model))
        self._waited.observe(seconds, (self._flow(request.fairness_id), priority, outcome, request.pool, *names))
        self._requests.add((outcome, priority, request.pool))

    def revoked(self, pool: str, requests: int) -> None:
        """Running requests were ended."""
        self._revoked.add((pool,), requests)

    def enqueued(self, request: Queued, seconds: float) -> None:
        """A request was let wait."""
        self._enqueued.observe(seconds, (self._flow(request.fairness_id), str(request.priority), _NOT_YET))

    def dispatched(self, seconds: float) -> None:
        """The gate was asked for the next request."""
        self._cycles.observe(seconds)


class QueueGauges:
    """What waits now, and how full pools and queues are."""

    def __init__(self, queues: Callable[[], Queues], model: Word, flow: Word) -> None:
        self._queues = queues
        self._model, self._flow = model, flow
        self._known: dict[Labels, None] = {}  # flows that have waited: a curve falls to 0 instead of breaking off

    def render(self) -> str:
        """The lines of all gauges."""
        queues = self._queues()
        return "".join(
            [gauges(f"{_PREFIX}{name}", text, names, samples) for name, text, names, samples in self._families(queues)]
        )

    def _families(self, queues: Queues) -> Iterator[tuple[str, str, Sequence[str], Samples]]:
        yield "queue_size", "Requests that wait.", FLOW, self._waiting(queues, "requests")
        yield "queue_bytes", "Bytes of their bodies.", FLOW, self._waiting(queues, "bytes")
        stages = [((each["pool"], stage), value) for each in queues for stage, value in each["saturation"].items()]
        yield "pool_saturation", "How full the pool is.", ("inference_pool", "stage"), stages
        for unit in UNITS:
            bands = [
                ((str(band["priority"]), each["pool"]), _share(band, unit)) for each in queues for band in each["bands"]
            ]
            yield f"capacity_utilization_{unit}", f"Share of a band's {unit} in use.", BAND, bands
            whole = [((each["pool"],), _share(each, unit)) for each in queues]
            yield f"global_capacity_utilization_{unit}", f"Share of all {unit} in use.", ("inference_pool",), whole

    def _waiting(self, queues: Queues, unit: str) -> Samples:
        """Words beyond the bound share a label, so that flows may meet."""
        found: Counter[Labels] = Counter()
        for each in queues:
            for flow in each["flows"]:
                names = (self._model(flow["model"]), self._model(flow["target_model"]))
                found[self._flow(flow["fairness_id"]), str(flow["priority"]), each["pool"], *names] += flow[unit]
        shown = found.most_common(FLOWS_LIMIT)
        latest = dict.fromkeys([*(labels for labels, _ in shown), *self._known])
        self._known = dict.fromkeys([*latest][:FLOWS_LIMIT])
        return [(labels, found[labels]) for labels in self._known]


def _share(waiting: Mapping[str, Any], unit: str) -> float:
    return float(waiting["waiting"][unit] / waiting["limit"][unit])
