"""Faults that a test sets: what goes wrong, how often, for which models. Pure: it parses, and draws by rate.

    {"error": {"rate": 0.5, "status": 503, "retry_after": 1, "message": "..."},
     "cut": {"rate": 1, "after_tokens": 5},  "reset": {"rate": 1},  "hang": {"rate": 1},
     "first_byte": {"rate": 1, "seconds": 2},  "spike": {"rate": 0.1, "seconds": 2},
     "adapters": ["food-review-1"],  "crash_after": 100,
     "health": 503,  "metrics": {"num_requests_waiting": 50},  "metrics_mode": "slow|stale|malformed|error",
     "metrics_delay": 2}

`first_byte` delays a request before it is parsed, and so its headers and its place in the queue. `spike` delays
computed tokens: a stream's headers are sent, its tokens come late and at once. `adapters` limits request faults to
those models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from model_sim.api import fields
from model_sim.api.errors import ApiError
from model_sim.exposition.vllm import OVERRIDABLE

METRICS_MODES = ("slow", "stale", "malformed", "error")
MAX_DELAY_SECONDS = 3600.0
REQUEST_FAULTS = ("error", "cut", "reset", "hang", "first_byte", "spike")
KEYS = (*REQUEST_FAULTS, "adapters", "crash_after", "health", "metrics", "metrics_mode", "metrics_delay")


@dataclass(frozen=True, slots=True)
class RequestFault:
    """One fault of a request, and its parameters."""

    rate: float = 1.0
    status: int = 500
    retry_after: float | None = None
    message: str = "An injected fault."
    after_tokens: int = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults in force."""

    requests: Mapping[str, RequestFault] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    crash_after: int | None = None
    health: int | None = None
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    metrics_mode: str | None = None
    metrics_delay: float = 2.0

    def draw(self, model: str, random: Random) -> Mapping[str, RequestFault]:
        """The faults that hit one request."""
        if not self.requests or (self.adapters and model not in self.adapters):
            return {}
        return {name: fault for name, fault in self.requests.items() if fault.rate >= 1 or random.random() < fault.rate}

    def document(self) -> dict[str, Any]:
        """These faults as JSON that sets them."""
        shown: dict[str, Any] = {
            name: {key: getattr(fault, key) for key in RequestFault.__slots__} for name, fault in self.requests.items()
        }
        if self.adapters:
            shown["adapters"] = list(self.adapters)
        for key in ("crash_after", "health", "metrics_mode"):
            if getattr(self, key) is not None:
                shown[key] = getattr(self, key)
        if self.metrics:
            shown["metrics"] = dict(self.metrics)
        return shown


def merged(current: Faults, body: fields.Body) -> Faults:
    """`current` with what `body` names replaced; null takes a fault away."""
    for key in body:
        if key not in KEYS:
            raise ApiError(f"{key}: unknown fault; known: {', '.join(KEYS)}", param=key)
    requests = dict(current.requests)
    for name in REQUEST_FAULTS:
        if name in body:
            requests.pop(name, None)
            if body[name] is not None:
                requests[name] = _request_fault(fields.mapping(body, name) or {}, name)
    return replace(current, requests=requests, **_server_changes(current, body))


def _server_changes(current: Faults, body: fields.Body) -> dict[str, Any]:
    """What concerns the server and not single requests."""
    changes: dict[str, Any] = {}
    if "adapters" in body:
        changes["adapters"] = fields.texts(body, "adapters")
    if "crash_after" in body:
        changes["crash_after"] = fields.integer(body, "crash_after", minimum=1)
    if "health" in body:
        changes["health"] = fields.integer(body, "health", minimum=200, maximum=599)
    if "metrics" in body:
        changes["metrics"] = _metrics(current.metrics, body)
    if "metrics_mode" in body:
        mode = fields.text(body, "metrics_mode")
        if mode is not None and mode not in METRICS_MODES:
            raise fields.wrong("metrics_mode", f"one of {', '.join(METRICS_MODES)}", mode)
        changes["metrics_mode"] = mode
    if "metrics_delay" in body:
        delay = fields.number(body, "metrics_delay", minimum=0, maximum=MAX_DELAY_SECONDS)
        changes["metrics_delay"] = Faults().metrics_delay if delay is None else delay
    return changes


def _request_fault(body: fields.Body, name: str) -> RequestFault:
    for key in body:
        if key not in RequestFault.__slots__:
            raise ApiError(f"{name}.{key}: unknown; known: {', '.join(RequestFault.__slots__)}", param=name)
    default = RequestFault()
    rate = fields.number(body, "rate", minimum=0, maximum=1)
    return RequestFault(
        rate=default.rate if rate is None else rate,
        status=fields.integer(body, "status", minimum=400, maximum=599) or default.status,
        retry_after=fields.number(body, "retry_after", minimum=0, maximum=MAX_DELAY_SECONDS),
        message=fields.text(body, "message") or default.message,
        after_tokens=fields.integer(body, "after_tokens", minimum=0) or default.after_tokens,
        seconds=fields.number(body, "seconds", minimum=0, maximum=MAX_DELAY_SECONDS) or 0.0,
    )


def _metrics(current: Mapping[str, float | str], body: fields.Body) -> dict[str, float | str]:
    wanted = fields.mapping(body, "metrics")
    if wanted is None:
        return {}
    values = dict(current)
    for name, value in wanted.items():
        if name not in OVERRIDABLE:
            raise ApiError(f"metrics.{name}: unknown; known: {', '.join(OVERRIDABLE)}", param="metrics")
        if value is None:
            values.pop(name, None)
        elif name.endswith("_lora_adapters"):
            values[name] = fields.text(wanted, name) or ""
        else:
            values[name] = fields.number(wanted, name) or 0.0
    if isinstance(values.get("max_lora"), float):
        values["max_lora"] = str(int(float(values["max_lora"])))
    return values
