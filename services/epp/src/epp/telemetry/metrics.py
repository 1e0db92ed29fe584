"""The endpoint picker's metrics, under the reference's names where it has them.

Labels are bounded: models that servers list and objectives that exist have series of their own, names that clients
invent share a budget for each kind (`words`). Observers only count; nothing here is computed on the request path
beyond finding a child and adding to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from importlib import metadata

from epp.datalayer.placement import Placement
from epp.datalayer.report import BREAKS
from epp.datalayer.standing.endpoint import Standing
from epp.datalayer.standing.signals import Signal
from epp.domain import EndpointId, Feedback, Outcome, PickId, PoolId, ScrapeFault
from epp.prompts.writer import BYTES_PER_TOKEN
from epp.telemetry.queues import QueueMetrics
from epp.telemetry.words import Bounded
from gateway.service import logs
from gateway.service.metrics import Labels, Registry, gauges
from gateway.wire.errors import Rejection
from gateway.wire.protocol import LACKS_END

log = logs.get(__name__)

# Servers exist, so their number is that of the pools; this is beyond any.
ENDPOINT_LIMIT = 1000
# Plugins exist, too.
PLUGIN_LIMIT = 200

LATENCY = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120,
           180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600)  # fmt: skip
PER_TOKEN = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)
DECISION = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
REQUEST_BYTES = tuple(64 * 2**step for step in range(25))  # to 1 GiB
RESPONSE_BYTES = (1, 8, *(16 * 2**step for step in range(13)))
HIT_BYTES = (0, *(16 * 2**step for step in range(13)))
TENTHS = tuple(step / 10 for step in range(11))

MODEL = ("model_name", "target_model_name")
# The reference's words for what went wrong, by status.
# Of an answer that began well: the server broke off, or ended it without its last event.
INCOMPLETE = BREAKS | {LACKS_END}
ERROR_CODES = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 413: "BadRequest",
               429: "ResourceExhausted", 500: "Internal", 503: "ServiceUnavailable"}  # fmt: skip


class Metrics:
    """Observer of the brain, the doors, the scraper and the sharing; one instance per process."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._model, self._objective, self._fairness = Bounded(), Bounded(), Bounded()
        self._endpoint, self._plugin = Bounded(ENDPOINT_LIMIT), Bounded(PLUGIN_LIMIT)
        self.queues = QueueMetrics(self.registry, self._model, self._fairness)
        self._add_objective()
        self._add_scheduler()
        self._add_own()

    def _add_objective(self) -> None:
        name = "inference_objective_{}".format
        self._requests = self.registry.counter(
            name("request_total"), "Requests that got an endpoint.", (*MODEL, "priority")
        )
        self._errors = self.registry.counter(
            name("request_error_total"), "Requests that failed.", (*MODEL, "error_code")
        )
        self._ttft = self.registry.histogram(name("request_ttft_seconds"), "Time to first token.", MODEL, LATENCY)
        self._duration = self.registry.histogram(
            name("request_duration_seconds"), "From request to end.", MODEL, LATENCY
        )
        self._input = self.registry.histogram(name("input_tokens"), "Prompt tokens.", MODEL, TOKENS)
        self._output = self.registry.histogram(name("output_tokens"), "Completion tokens.", MODEL, TOKENS)
        self._cached = self.registry.histogram(name("prompt_cached_tokens"), "Cached prompt tokens.", MODEL, TOKENS)
        self._request_bytes = self.registry.histogram(
            name("request_sizes"), "Request body in bytes.", MODEL, REQUEST_BYTES
        )
        self._response_bytes = self.registry.histogram(
            name("response_sizes"), "Response body in bytes.", MODEL, RESPONSE_BYTES
        )
        self._per_token = self.registry.histogram(
            name("normalized_time_per_output_token_seconds"), "Duration by completion tokens.", MODEL, PER_TOKEN
        )

    def _add_scheduler(self) -> None:
        name = "inference_extension_{}".format
        self._attempts = self.registry.counter(
            name("scheduler_attempts_total"),
            "Decisions by outcome.",
            ("status", "target_model_name", "pod_name", "namespace", "port"),
        )
        self._hit_ratio = self.registry.histogram(
            name("prefix_indexer_hit_ratio"), "Expected cached share of a prompt.", (), TENTHS
        )
        self._hit_bytes = self.registry.histogram(
            name("prefix_indexer_hit_bytes"), "Expected cached bytes of a prompt, by the token estimate.", (), HIT_BYTES
        )
        self._decision_seconds = self.registry.histogram(
            name("scheduler_e2e_duration_seconds"), "Time of one decision.", (), DECISION
        )
        self._rewrites = self.registry.counter(
            name("model_rewrite_decisions_total"),
            "Rewritten models.",
            ("model_rewrite_name", "model_name", "target_model"),
        )
        info = self.registry.gauge(name("info"), "Build information.", ("commit", "build_ref"))
        info.set(1, ("", metadata.version("pointsman-epp")))

    def _add_own(self) -> None:
        name = "pointsman_epp_{}".format
        self._rejections = self.registry.counter(name("rejections_total"), "Refused requests.", ("pool", "code"))
        self._settled = self.registry.counter(name("settled_total"), "Released reservations.", ("pool", "outcome"))
        self._scrapes = self.registry.counter(name("scrapes_total"), "Scrapes by result.", ("pool", "result"))
        self._ejections = self.registry.counter(name("ejections_total"), "Endpoints avoided for a while.", ("pool",))
        self._failed_attempts = self.registry.counter(
            name("failed_attempts_total"), "Attempts of requests that failed at an endpoint.", ("pool", "cause")
        )
        self._failures = self.registry.counter(
            name("plugin_failures_total"), "Calls of plugins that failed.", ("plugin",)
        )
        self._violations = self.registry.counter(
            name("protocol_violations_total"), "Streams that broke the protocol.", ()
        )
        self._log_entries = self.registry.counter(name("access_log_entries_total"), "Entries received.", ("kind",))
        self._guarded = self.registry.counter(name("guard_total"), "What the guard found.", ("reason", "action"))
        self._door = self.registry.counter(name("http_requests_total"), "Answers of the HTTP door.", ("status",))
        self._usage = self.registry.counter(
            name("tokens_total"), "Tokens by who asked.", ("model_name", "objective", "fairness_id", "kind")
        )

    def describe_pools(self, pools: Callable[[], Iterable[Mapping[str, object]]]) -> None:
        """Gauges of the pools, computed when somebody asks for metrics."""
        self.registry.add(PoolGauges(pools))

    def exist(self, models: AbstractSet[str], objectives: AbstractSet[str]) -> None:
        """These models and objectives have series of their own from now on. Those that are gone leave theirs."""
        self._forget(models=self._model.exist(models), objectives=self._objective.exist(objectives))

    def renew_labels(self) -> None:
        """Let names that clients invented leave where the budget is used up. Call about once a minute."""
        self._forget(self._model.renew(), self._objective.renew(), self._fairness.renew())

    def _forget(
        self, models: AbstractSet[str], objectives: AbstractSet[str], flows: AbstractSet[str] = frozenset()
    ) -> None:
        gone = {
            "model_name": models, "target_model_name": models, "target_model": models, "objective": objectives,
            "fairness_id": flows,
        }  # fmt: skip
        if any(gone.values()):
            self.registry.forget(gone)

    def describe_running(self, running: Callable[[], Mapping[str, int]]) -> None:
        """The gauge of each model's requests in flight, computed when somebody asks for metrics."""
        self.registry.add(RunningGauge(running, self._model))

    # The picker's observer.

    def placed(self, placement: Placement, request_bytes: int) -> None:
        """A request got an endpoint."""
        model, target = self._model(placement.model), self._model(placement.target_model)
        endpoint = placement.primary.endpoint
        self._requests.add((model, target, str(placement.priority)))
        pod, namespace = self._endpoint(endpoint.name), placement.pool.partition("/")[0]
        self._attempts.add(("success", target, pod, namespace, str(endpoint.port)))
        if placement.prompt_tokens:
            self._hit_ratio.observe(min(1.0, placement.matched_tokens / placement.prompt_tokens))
            self._hit_bytes.observe(placement.matched_tokens * BYTES_PER_TOKEN)
        self._request_bytes.observe(request_bytes, (model, target))

    def rejected(self, pool: PoolId | None, rejection: Rejection) -> None:
        """A request was refused."""
        self._rejections.add((pool or "", rejection.code))
        self._errors.add(("", "", ERROR_CODES.get(rejection.status, "Unknown")))
        if rejection.status in (429, 503):
            self._attempts.add(("failure", "", "", (pool or "").partition("/")[0], ""))

    def settled(self, pool: PoolId, pick_id: PickId, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002
        """A reservation was released."""
        self._settled.add((pool, outcome.value))

    def reported(self, feedback: Feedback, placement: Placement) -> None:
        """A request is over, and the access log or the response reported how it went."""
        names = (self._model(placement.model), self._model(placement.target_model))
        if feedback.status is not None and feedback.status >= 400:
            self._errors.add((*names, "ModelServerError"))
        elif not INCOMPLETE.isdisjoint(feedback.flags):
            self._errors.add((*names, "IncompleteAnswer"))
        for metric, value in (
            (self._ttft, feedback.ttft_seconds),
            (self._duration, feedback.duration_seconds),
            (self._input, feedback.prompt_tokens),
            (self._output, feedback.completion_tokens),
            (self._cached, feedback.cached_tokens),
            (self._response_bytes, feedback.response_bytes),
        ):
            if value is not None:
                metric.observe(value, names)
        if feedback.duration_seconds is not None and feedback.completion_tokens:
            self._per_token.observe(feedback.duration_seconds / feedback.completion_tokens, names)
        who = (names[0], self._objective(placement.objective), self._fairness(placement.fairness_id))
        for kind, tokens in (("prompt", feedback.prompt_tokens), ("completion", feedback.completion_tokens)):
            if tokens:
                self._usage.add((*who, kind), tokens)

    def rewritten(self, rewrite: str, model: str, target_model: str) -> None:
        """The model in the body was replaced."""
        self._rewrites.add((rewrite, self._model(model), self._model(target_model)))

    def ejected(self, pool: PoolId, endpoint: EndpointId, reason: str) -> None:
        """An endpoint is avoided."""
        self._ejections.add((pool,))
        log.warning("endpoint avoided", pool=pool, endpoint=endpoint, reason=reason)

    def returned(self, pool: PoolId, endpoint: EndpointId) -> None:
        """It gets traffic again."""
        log.info("endpoint returns", pool=pool, endpoint=endpoint)

    def attempt_failed(self, pool: PoolId, signal: Signal) -> None:
        """An attempt of a request failed at its endpoint."""
        self._failed_attempts.add((pool, signal.name.lower()))

    def failed(self, plugin: str, error: str, *, is_first: bool) -> None:
        """A plugin failed; the log has it once."""
        self._failures.add((self._plugin(plugin),))
        if is_first:
            log.error("plugin failed; decisions go on without it", plugin=plugin, error=error)

    def inert(self, plugins: Sequence[str], decisions: int) -> None:
        """Plugins that never removed a candidate, or never told two apart."""
        log.info("plugins that made no difference", plugins=", ".join(plugins), decisions=decisions)

    def warned(self, messages: Sequence[str]) -> None:
        """A configuration has effects that its author may not expect."""
        for message in messages:
            log.warning("configuration", message=message)

    # The shells' observers.

    def took(self, seconds: float) -> None:
        """One decision, from the request's arrival at the door to its verdict."""
        self._decision_seconds.observe(seconds)

    def violation(self, reason: str) -> None:  # noqa: ARG002 - reasons are unbounded, labels must not be
        """A proxy broke the protocol."""
        self._violations.add()

    def scrape_succeeded(self, pool: PoolId) -> None:
        """A scrape brought metrics."""
        self._scrapes.add((pool, "ok"))

    def scrape_failed(self, pool: PoolId, fault: ScrapeFault) -> None:
        """A scrape brought nothing."""
        self._scrapes.add((pool, fault.value))

    def logged(self, finals: int, heartbeats: int, strangers: int) -> None:
        """A batch of access log entries arrived; strangers carry no pick."""
        for kind, number in (("final", finals), ("heartbeat", heartbeats), ("other", strangers)):
            if number:
                self._log_entries.add((kind,), number)

    def guarded(self, reason: str, action: str) -> None:
        """The guard found something; reasons are the operator's own words."""
        self._guarded.add((reason, action))

    def answered(self, status: int) -> None:
        """The HTTP door answered."""
        self._door.add((str(status),))


class PoolGauges:
    """The reference's gauges of pools, out of what /debug/pools shows."""

    def __init__(self, pools: Callable[[], Iterable[Mapping[str, object]]]) -> None:
        self._pools = pools

    def render(self) -> str:
        """The pools are described once for all gauges."""
        pools = with_shown_names([*self._pools()])
        families = [
            _of_pools("inference_pool_ready_pods", "Endpoints of a pool.", pools, lambda pool: len(_endpoints(pool))),
            *(
                _of_pools(f"inference_pool_average_{suffix}", f"Mean {suffix}.", pools, partial(_mean, field))
                for field, suffix in _AVERAGES
            ),
            gauges(
                "inference_pool_per_pod_queue_size", "Waiting requests.", ("name", "model_server_pod"), _queues(pools)
            ),
            _of_pools(
                "inference_extension_prefix_indexer_size", "Blocks in the prefix index.", pools,
                lambda pool: _number(pool, "index_blocks") or 0,
            ),
            _of_pools(
                "pointsman_epp_in_flight_requests", "Picks that have not ended.", pools, partial(_sum, "in_flight")
            ),
            _of_pools(
                "pointsman_epp_others_in_flight_requests", "Those of other replicas.", pools,
                partial(_sum, "others_in_flight"),
            ),
        ]  # fmt: skip
        return "".join(families)


class RunningGauge:
    """The reference's gauge of requests in flight by model."""

    def __init__(self, running: Callable[[], Mapping[str, int]], word: Callable[[str], str]) -> None:
        self._running = running
        self._word = word

    def render(self) -> str:
        """Models without a label of their own are counted together."""
        counts: Counter[str] = Counter()
        for model, count in self._running().items():
            counts[self._word(model)] += count
        samples = [((model,), float(count)) for model, count in counts.items()]
        text = "Requests that have not ended."
        return gauges("inference_objective_running_requests", text, ("model_name",), samples)


_AVERAGES = (("kv_usage", "kv_cache_utilization"), ("waiting", "queue_size"), ("running", "running_requests"))

Pool = Mapping[str, object]


def _of_pools(name: str, text: str, pools: Iterable[Pool], figure: Callable[[Pool], float | None]) -> str:
    samples = [((_name(pool),), value) for pool in pools if (value := figure(pool)) is not None]
    return gauges(name, text, ("name",), samples)


def with_shown_names(pools: Sequence[Pool]) -> list[Pool]:
    """Pools named without their namespaces; with them where two pools have one name."""
    counts = Counter(_name(pool).rpartition("/")[2] for pool in pools)
    return [{**pool, "pool": name} if counts[name := _name(pool).rpartition("/")[2]] == 1 else pool for pool in pools]


def _queues(pools: Iterable[Pool]) -> Iterable[tuple[Labels, float]]:
    """Waiting requests by the Pod's name; a Pod's ranks count together."""
    found: dict[Labels, float] = {}
    for pool in pools:
        for endpoint in _endpoints(pool):
            waiting, pod = _number(endpoint, "waiting"), str(endpoint.get("name", ""))
            if waiting is not None:
                found[_name(pool), pod] = found.get((_name(pool), pod), 0.0) + waiting
    return found.items()


def _name(pool: Mapping[str, object]) -> str:
    return str(pool.get("pool", ""))


def _endpoints(pool: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Without those that have left and drain."""
    return [each for each in _mappings(pool.get("endpoints")) if each.get("standing") != Standing.DRAINING]


def _mean(field: str, pool: Mapping[str, object]) -> float | None:
    values = [value for endpoint in _endpoints(pool) if (value := _number(endpoint, field)) is not None]
    return sum(values) / len(values) if values else None


def _sum(field: str, pool: Mapping[str, object]) -> float:
    return sum(_number(endpoint, field) or 0 for endpoint in _mappings(pool.get("endpoints")))


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _number(endpoint: Mapping[str, object], key: str) -> float | None:
    metrics = endpoint.get("metrics")
    value = endpoint.get(key, metrics.get(key) if isinstance(metrics, Mapping) else None)
    return float(value) if isinstance(value, int | float) else None
