"""Faults that a test sets: what goes wrong, how often, for which models. Pure: it parses, and draws by rate.

Faults of single requests, each with a `rate` (1 by default):

    {"error": {"status": 503, "retry_after": 1, "message": "..."},
     "reset": {},  "not_http": {},  "hang": {},  "first_byte": {"seconds": 2},
     "spike": {"seconds": 2},  "drip": {"seconds": 0.5},  "hold": {"after_tokens": 3},
     "cut": {"after_tokens": 5},  "truncate": {"after_tokens": 5}}

Faults of the server:

    {"adapters": ["food-review-1"],  "cycle": {"seconds": 10, "active": 3},
     "crash_after": 100,  "health": 503,  "speed": 0.5,  "frozen": true,
     "metrics": {"num_requests_waiting": 50},  "metrics_mode": "slow|stale|malformed|error",  "metrics_delay": 2}

`docs/model-sim.md` describes each. `adapters` limits request faults to those models. `cycle` puts request faults,
`health` and faults of the metrics in force for the first `active` seconds of each `seconds`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from model_sim.api import fields
from model_sim.api.errors import ApiError
from model_sim.exposition.vllm import OVERRIDABLE

METRICS_MODES = ("slow", "stale", "malformed", "error")
MAX_DELAY_SECONDS = 3600.0
"""An hour: longer than any test or time limit."""
MIN_SPEED = 0.001
"""A thousandth of the profile's speed: slower than any engine that still works."""
MAX_SPEED = 1000.0
"""Faster than any answer can be sent."""
PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "error": ("status", "retry_after", "message"),
    "reset": (),
    "not_http": (),
    "hang": (),
    "first_byte": ("seconds",),
    "spike": ("seconds",),
    "drip": ("seconds",),
    "hold": ("after_tokens",),
    "cut": ("after_tokens",),
    "truncate": ("after_tokens",),
}
"""Faults of requests, and what each one takes beside its rate."""
SERVER_FAULTS = (
    *("adapters", "cycle", "crash_after", "health", "speed", "frozen"),
    *("metrics", "metrics_mode", "metrics_delay"),
)
KEYS = (*PARAMETERS, *SERVER_FAULTS)


@dataclass(frozen=True, slots=True)
class RequestFault:
    """One fault of a request, and its parameters."""

    rate: float = 1.0
    status: int = 500
    retry_after: float | None = None
    message: str = "An injected fault."
    after_tokens: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """Faults come and go: they are in force for the first `active` seconds of each `seconds`."""

    seconds: float
    active: float


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults that are set."""

    requests: Mapping[str, RequestFault] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    cycle: Cycle | None = None
    crash_after: int | None = None
    health: int | None = None
    speed: float = 1.0
    frozen: bool = False
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    metrics_mode: str | None = None
    metrics_delay: float = 2.0

    def at(self, seconds: float) -> "Faults":
        """The faults in force so long after they were set."""
        cycle = self.cycle
        if cycle is None or seconds % cycle.seconds < cycle.active:
            return self
        return replace(self, requests={}, health=None, metrics={}, metrics_mode=None)

    def draw(self, model: str, random: Random) -> Mapping[str, RequestFault]:
        """The faults that hit one request."""
        if not self.requests or (self.adapters and model not in self.adapters):
            return {}
        return {name: fault for name, fault in self.requests.items() if fault.rate >= 1 or random.random() < fault.rate}

    def document(self) -> dict[str, Any]:
        """These faults as JSON that sets them."""
        shown: dict[str, Any] = {
            name: {key: getattr(fault, key) for key in ("rate", *PARAMETERS[name])}
            for name, fault in self.requests.items()
        }
        default = Faults()
        for key in SERVER_FAULTS:
            value = getattr(self, key)
            if value != getattr(default, key):
                shown[key] = value
        if self.adapters:
            shown["adapters"] = list(self.adapters)
        if self.cycle is not None:
            shown["cycle"] = {"seconds": self.cycle.seconds, "active": self.cycle.active}
        return shown


def merged(current: Faults, body: fields.Body) -> Faults:
    """`current` with what `body` names replaced; null removes a fault."""
    for key in body:
        if key not in KEYS:
            raise ApiError(f"{key}: unknown fault; known: {', '.join(KEYS)}", param=key)
    requests = dict(current.requests)
    for name in PARAMETERS:
        if name in body:
            requests.pop(name, None)
            if body[name] is not None:
                requests[name] = _request_fault(fields.mapping(body, name) or {}, name)
    return replace(current, requests=requests, **_server_changes(current, body))


def _server_changes(current: Faults, body: fields.Body) -> dict[str, Any]:
    """What concerns the server and not single requests."""
    default = Faults()
    given: dict[str, Any] = {
        "adapters": fields.texts(body, "adapters"),
        "cycle": _cycle(body),
        "crash_after": fields.integer(body, "crash_after", minimum=1),
        "health": fields.integer(body, "health", minimum=200, maximum=599),
        "speed": fields.number(body, "speed", minimum=MIN_SPEED, maximum=MAX_SPEED),
        "frozen": fields.flag(body, "frozen"),
        "metrics": _metrics(current.metrics, body),
        "metrics_mode": _metrics_mode(body),
        "metrics_delay": fields.number(body, "metrics_delay", minimum=0, maximum=MAX_DELAY_SECONDS),
    }
    return {key: getattr(default, key) if given[key] is None else given[key] for key in SERVER_FAULTS if key in body}


def _request_fault(body: fields.Body, name: str) -> RequestFault:
    known = ("rate", *PARAMETERS[name])
    for key in body:
        if key not in known:
            raise ApiError(f"{name}.{key}: unknown; known: {', '.join(known)}", param=name)
    default = RequestFault()
    rate = fields.number(body, "rate", minimum=0, maximum=1)
    return RequestFault(
        rate=default.rate if rate is None else rate,
        status=fields.integer(body, "status", minimum=400, maximum=599) or default.status,
        retry_after=fields.number(body, "retry_after", minimum=0, maximum=MAX_DELAY_SECONDS),
        message=fields.text(body, "message") or default.message,
        after_tokens=fields.integer(body, "after_tokens", minimum=0),
        seconds=fields.number(body, "seconds", minimum=0, maximum=MAX_DELAY_SECONDS) or 0.0,
    )


def _cycle(body: fields.Body) -> Cycle | None:
    wanted = fields.mapping(body, "cycle")
    if wanted is None:
        return None
    seconds = fields.number(wanted, "seconds", minimum=0.001, maximum=MAX_DELAY_SECONDS)
    active = fields.number(wanted, "active", minimum=0, maximum=MAX_DELAY_SECONDS)
    if wanted.keys() != {"seconds", "active"} or seconds is None or active is None:
        raise ApiError("cycle: expected seconds and active", param="cycle")
    return Cycle(seconds, active)


def _metrics_mode(body: fields.Body) -> str | None:
    mode = fields.text(body, "metrics_mode")
    if mode is not None and mode not in METRICS_MODES:
        raise fields.wrong("metrics_mode", f"one of {', '.join(METRICS_MODES)}", mode)
    return mode


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
