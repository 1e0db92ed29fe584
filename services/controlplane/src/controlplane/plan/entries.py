"""The values of a plan about requests: which hosts are served, by which rules in which order, and to whom. Pure."""

from dataclasses import dataclass

from controlplane.status.conditions import Condition
from gateway.kube.objects import (
    NO_CHANGES,
    Changes,
    Gateway,
    HTTPRoute,
    InferencePool,
    Listener,
    Mirror,
    ObjectName,
    RequestCost,
    RouteFilter,
    RouteMatch,
    RouteRule,
    UnservedFilter,
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A route that a listener serves, for the host names that both have."""

    gateway: Gateway
    listener: Listener
    route: HTTPRoute
    hostnames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServicePortRef:
    """One port of a Service."""

    id: ObjectName
    port: int


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a share of a rule's requests goes: a pool, a Service, or (with a fault) nowhere. `lower` are the tiers for
    requests that it could not serve, in order; `is_followed`: it is in such a tier itself, and not in the last one.
    `own` is the name of a cluster of its own, where its reference needs one: it has such tiers, is in one, or changes
    its requests."""

    weight: int
    filters: tuple[RouteFilter, ...]
    target: InferencePool | ServicePortRef | None
    fault: Condition | None = None
    changes: Changes = NO_CHANGES
    lower: "tuple[tuple[Backend, ...], ...]" = ()
    is_followed: bool = False
    own: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether it leads nowhere, or has a filter that is not served."""
        return self.target is None or any(isinstance(item, UnservedFilter) for item in self.filters)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Where copies of a rule's requests go: as `target` says, or (with a fault) nowhere."""

    copy: Mirror
    target: InferencePool | ServicePortRef | None
    fault: Condition | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One match of one rule on one host."""

    route: HTTPRoute
    rule_index: int
    match_index: int
    hostname: str
    match: RouteMatch
    rule: RouteRule
    backends: tuple[Backend, ...]
    is_restricted: bool  # by a policy that is not supported
    mirrors: tuple[Mirrored, ...] = ()
    costs: tuple[RequestCost, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether a filter of the rule is not served: its requests may not pass without it."""
        return any(isinstance(item, UnservedFilter) for item in self.rule.filters)

    @property
    def name(self) -> str:
        return f"{self.route.meta.id}/{self.rule_index}/{self.match_index}"


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """All entries that serve a host, in the order in which they are tried."""

    hostname: str
    entries: tuple[Entry, ...]

    @property
    def pools(self) -> tuple[InferencePool, ...]:
        """Every pool that an entry leads to without restriction, once, in order."""
        entries = (entry for entry in self.entries if not entry.is_restricted)
        found = (backend.target for entry in entries for backend in entry.backends)
        return tuple({target.meta.id: target for target in found if isinstance(target, InferencePool)}.values())
