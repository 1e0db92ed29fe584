"""The values of a plan about requests: which hosts are served, by which rules in which order, and to whom. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from controlplane.plan.protections import Protection
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
    its requests. `ai_backend` is the AIServiceBackend that it was named by."""

    weight: int
    filters: tuple[RouteFilter, ...]
    target: InferencePool | ServicePortRef | None
    fault: Condition | None = None
    changes: Changes = NO_CHANGES
    lower: "tuple[tuple[Backend, ...], ...]" = ()
    is_followed: bool = False
    own: str = ""
    ai_backend: ObjectName | None = None

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
    is_restricted: bool  # by a policy that cannot be enforced
    mirrors: tuple[Mirrored, ...] = ()
    costs: tuple[RequestCost, ...] = ()
    protection: Protection | None = None  # what is checked of a request before it passes

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
    protection: Protection | None = field(init=False, compare=False)
    """What is checked of every request for the host, before its model is known: what all entries have alike."""

    def __post_init__(self) -> None:
        found = [entry.protection for entry in self.entries if not entry.is_restricted]
        is_common = bool(found) and all(each is found[0] or each == found[0] for each in found)
        object.__setattr__(self, "protection", found[0] if is_common else None)

    @property
    def shown(self) -> tuple[Entry, ...]:
        """The entries that the gateway's own routes tell of: without restriction, and without a check of their own."""
        common = self.protection
        return tuple(
            entry
            for entry in self.entries
            if not entry.is_restricted
            and (common is not None or entry.protection is None or not entry.protection.rules.restricts)
        )

    @property
    def pools(self) -> tuple[InferencePool, ...]:
        """Every pool that an entry leads to without restriction, once, in order."""
        return _pools(entry for entry in self.entries if not entry.is_restricted)

    @property
    def shown_pools(self) -> tuple[InferencePool, ...]:
        """Those of them that the gateway's own routes tell of."""
        return _pools(self.shown)


def _pools(entries: Iterable[Entry]) -> tuple[InferencePool, ...]:
    found = (backend.target for entry in entries for backend in entry.backends)
    return tuple({target.meta.id: target for target in found if isinstance(target, InferencePool)}.values())
