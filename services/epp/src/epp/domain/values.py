"""The values that transports, picker and shells exchange.

Plain and frozen: nothing here knows gRPC, protobuf, HTTP, Redis or a clock. A transport makes a `Request` of what came
in, submits it, and makes its answer of the `Verdict`. How a request went comes back as an `Outcome` (its exact end,
from the transport that placed it) and as `Feedback` (heartbeats and the final entry of Envoy's access log, or the
response). Times are monotonic float seconds, sizes are bytes.

    Verdict ─┬─ Pick       go to these endpoints, in this order
             ├─ Reply      the picker itself answers (the model list)
             └─ Rejection  refused, with status and reason (gateway.wire.errors)

A request that waits for its verdict has a `Ticket` instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, NewType, Protocol

from gateway.wire.errors import Rejection

PoolId = NewType("PoolId", str)  # "namespace/name"
EndpointId = NewType("EndpointId", str)  # "10.0.0.1:8000" or "[::1]:8000": what x-gateway-destination-endpoint carries
PickId = NewType("PickId", str)
RunId = NewType("RunId", str)  # one run of a replica, from its start to its end
Stamp = int  # logical time: what was done knowing of another event has a later one

NO_LABELS: Mapping[str, str] = MappingProxyType({})
# A token count of this or more is a broken model server's, wherever it was told.
TOKEN_LIMIT = 10**9
# No server's ids of responses and conversations are longer.
STORED_ID_LIMIT = 128
# What those begin with; a chat's and a completion's answers are not stored.
_STORED_PREFIXES = ("resp", "conv")


def replica_of(pick_id: PickId) -> str:
    """Whose pick it was: ids are the replica's name and a number."""
    return pick_id.rpartition("-")[0]


# A pick's number within its run, as hexadecimal digits: a thousand years of ten thousand picks a second.
_NUMBER_DIGITS = 12


def run_of(pick_id: PickId) -> RunId:
    """The run of a replica that made a pick."""
    return RunId(pick_id[:-_NUMBER_DIGITS])


def number_of(pick_id: PickId) -> int | None:
    """A pick's number within its run; later ones are higher. None for an id that no picker made."""
    try:
        return int(pick_id[-_NUMBER_DIGITS:], 16)
    except ValueError:
        return None


def pick_id_of(run: RunId, number: int) -> PickId:
    """The id of a run's pick of that number."""
    return PickId(f"{run}{number:012x}")  # _NUMBER_DIGITS of them: a width that is computed takes four times as long


def stored_id_of(answer_id: object) -> str | None:
    """The id of an answer, where it is one that a later request may name."""
    if not isinstance(answer_id, str) or len(answer_id) > STORED_ID_LIMIT:
        return None
    return answer_id if answer_id.startswith(_STORED_PREFIXES) else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One routable model server, `address:port`. `name` is for people; `labels` come from its EndpointSlice."""

    id: EndpointId
    address: str
    port: int
    name: str
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """What one scrape of a model server's /metrics said. A family that was absent is None, never zero."""

    waiting: int | None = None
    running: int | None = None
    kv_usage: float | None = None  # 0..1
    active_adapters: frozenset[str] = frozenset()
    waiting_adapters: frozenset[str] = frozenset()
    max_adapters: int = 0
    block_size: int | None = None  # tokens per KV block
    block_count: int | None = None
    computed_tokens: float | None = None  # of all steps so far: it stands still where nothing is computed
    started_at: float | None = None  # the server's process_start_time_seconds: a change means a restart


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One item of a model server's /v1/models, kept as the JSON object it was."""

    id: str
    item: Mapping[str, object]


class ScrapeFault(StrEnum):
    """Why a scrape gave nothing."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    STATUS = "status"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    NOT_READY = "not_ready"  # the server's own word, whatever its metrics say


@dataclass(frozen=True, slots=True)
class RewriteTarget:
    model: str
    weight: int


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """One rule of an InferenceModelRewrite. No `models` matches every model; rules arrive in order of precedence."""

    models: frozenset[str]
    targets: tuple[RewriteTarget, ...]
    name: str = ""  # the object's


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One InferencePool as the manifests describe it now, endpoints resolved."""

    id: PoolId
    endpoints: tuple[Endpoint, ...]
    priorities: Mapping[str, int] = field(default_factory=dict)  # InferenceObjective name → priority
    rewrites: tuple[RewriteRule, ...] = ()
    model_priorities: Mapping[str, int] = field(default_factory=dict)  # legacy InferenceModel: model → priority
    first_tokens: Mapping[str, float] = field(default_factory=dict)  # InferenceObjective name → its limit, seconds
    turned: tuple[int, int] | None = None  # where lower numbers are first: what is left of these is the priority

    def ceiling(self, written: int) -> int:
        """The highest priority of requests that may be as important as a number of an InferenceObjective."""
        if self.turned is None:
            return written
        return self.turned[0 if written >= 0 else 1] - written


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a door saw it. Header names are lower-case; a repeated header is joined with a comma.

    `pool` is None when the route did not name one. `subset` is the endpoints the proxy allows (proposal 004), None when
    it did not say, empty when it allows none.
    """

    pool: PoolId | None
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    subset: tuple[str, ...] | None = None
    fallbacks: int = 0  # further endpoints that the proxy would walk, at least
    first_token: float | None = None  # seconds within which a streamed answer must have begun, by the route
    longest_wait: float | None = None  # seconds that the proxy waits for the verdict; None where it did not say
    document: Mapping[str, object] | None = None  # the body's JSON object, where it was read before
    is_begun: bool = False  # the body is only its beginning, and the rest passes on behind it
    lower_tiers: int = 0  # that take over what the pool cannot serve


class Pick(NamedTuple):
    """Send the request to `targets[0]`, and on failure to the next, in order.

    `headers` are set on the request towards the model server, the destination not among them. `body` is None unless it
    changes: the model was rewritten, which a transport must carry out, or lines were stripped, which it may. `explain`
    are response headers for a request that asked why.
    """

    id: PickId
    pool: PoolId
    targets: tuple[EndpointId, ...]
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    explain: tuple[tuple[str, str], ...] = ()
    model: str | None = None  # as the client named it
    served_model: str | None = None  # the name that answers, where it is another

    @property
    def destination(self) -> str:
        """The comma list that header and metadata carry (proposal 004: ordered preference)."""
        return ",".join(self.targets)


@dataclass(frozen=True, slots=True)
class Reply:
    """The picker answers by itself, 200 with JSON."""

    body: bytes


Verdict = Pick | Reply | Rejection


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that waits for its verdict. Its waiter gets the verdict later, unless the ticket is cancelled."""

    number: int


class Waiter(Protocol):
    """Whoever submitted a request that waits: its transport."""

    def decide(self, verdict: Verdict, now: float) -> None:
        """Take the verdict. Called once, never from within `submit`, and never after `cancel`.

        The call may come from within any other call of the picker, so an implementation must not call the picker.
        """


class Outcome(StrEnum):
    """How a pick ended, as the door that made it knows."""

    ENDED = "ended"  # the exchange closed: answered, cut or abandoned, which the access log tells apart
    EXPIRED = "expired"  # there was no sign of life for too long
    UNUSED = "unused"  # the verdict never left (the stream broke first)
    EVICTED = "evicted"  # it was cut for a more important request


class Feedback(NamedTuple):
    """What Envoy's access log says of one pick. With `is_final` False it is a heartbeat of a live request, or about an
    attempt that failed; the request may have gone on to another endpoint.

    A tuple, which costs least to make: there is one for each request. Absent figures are None: a model server sends
    cached tokens only when asked to, usage in streams likewise.
    """

    pick_id: PickId
    pool: PoolId
    is_final: bool
    served: EndpointId | None = None
    status: int | None = None
    flags: tuple[str, ...] = ()
    attempts: int = 1
    ttft_seconds: float | None = None
    duration_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    response_bytes: int | None = None
    stored_id: str | None = None  # of the response or conversation that the server keeps
    failed_attempt: int | None = None  # its number, from 1
    reasoning_tokens: int | None = None  # of the completion's
    is_streamed: bool = False
