"""What the manifests ask for, worked out: which rules serve which hosts on which ports, in which order, and to whom.

Pure: Manifests in, `Plan` out. It knows the Gateway API (attachment, host names, precedence, permission to refer) and
nothing of Envoy, which `render` writes from the plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controlplane import hosts
from controlplane.status import Condition, GatewayStatus, ListenerStatus, ParentStatus, RouteStatus
from gateway.kube.objects import (
    GATEWAY_GROUP,
    BackendRef,
    Gateway,
    HTTPRoute,
    InferencePool,
    Listener,
    Manifests,
    NamespacesFrom,
    ObjectName,
    ParentRef,
    PathType,
    RouteFilter,
    RouteMatch,
    RouteRule,
)
from gateway.kube.resolution.endpoints import Addresses, service_endpoints


@dataclass(frozen=True, slots=True)
class ServicePortRef:
    id: ObjectName
    port: int


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a share of a rule's requests goes: a pool, a Service, or (with a fault) nowhere."""

    weight: int
    filters: tuple[RouteFilter, ...]
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

    @property
    def name(self) -> str:
        return f"{self.route.meta.id}/{self.rule_index}/{self.match_index}"


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """All entries that serve a host, in the order in which they are tried."""

    hostname: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Port:
    number: int
    hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    ports: tuple[Port, ...]
    pool_parents: Mapping[ObjectName, tuple[ObjectName, ...]]
    gateways: tuple[GatewayStatus, ...]
    routes: tuple[RouteStatus, ...]


@dataclass(frozen=True, slots=True)
class _Attachment:
    gateway: Gateway
    listener: Listener
    route: HTTPRoute
    hostnames: tuple[str, ...]


SERVED_PROTOCOLS = ("HTTP",)


def plan(manifests: Manifests, addresses: Addresses) -> Plan:
    """Work out everything at once; the same manifests always give the same plan."""
    backends = {
        (route.meta.id, index): tuple(_backend(manifests, addresses, route, ref) for ref in rule.backends)
        for route in manifests.routes.values()
        for index, rule in enumerate(route.rules)
    }
    attachments: list[_Attachment] = []
    statuses = []
    for _, route in sorted(manifests.routes.items()):
        resolved = _resolved_refs(backends, route)
        parents = []
        for ref in route.parents:
            found, accepted = _attach(manifests, route, ref)
            attachments.extend(found)
            parents.append(ParentStatus(ref.id, ref.section_name, (accepted, resolved)))
        statuses.append(RouteStatus(route.meta.id, tuple(parents)))
    return Plan(
        ports=_ports(manifests, attachments, backends),
        pool_parents=_pool_parents(attachments, backends),
        gateways=tuple(_gateway_status(gateway, attachments) for _, gateway in sorted(manifests.gateways.items())),
        routes=tuple(statuses),
    )


# --- Attachment ------------------------------------------------------------------------------------------------------


def _attach(manifests: Manifests, route: HTTPRoute, ref: ParentRef) -> tuple[list[_Attachment], Condition]:
    gateway = manifests.gateways.get(ref.id)
    if gateway is None or ref.kind != "Gateway" or ref.group != GATEWAY_GROUP:
        return [], Condition("Accepted", False, "NoMatchingParent", f"no {ref.kind} {ref.id}")
    named = [
        listener
        for listener in gateway.listeners
        if ref.section_name in ("", listener.name) and ref.port in (None, listener.port)
    ]
    if not named:
        return [], Condition("Accepted", False, "NoMatchingParent", f"{ref.id} has no such listener")
    allowed = [listener for listener in named if _allows(manifests, gateway, listener, route)]
    if not allowed:
        return [], Condition("Accepted", False, "NotAllowedByListeners", f"no listener of {ref.id} allows it")
    found = []
    for listener in allowed:
        names = _effective_hostnames(listener, route)
        if names:
            found.append(_Attachment(gateway, listener, route, names))
    if not found:
        return [], Condition("Accepted", False, "NoMatchingListenerHostname", "no listener serves its host names")
    return found, Condition("Accepted", True, "Accepted", "Route was valid")


def _allows(manifests: Manifests, gateway: Gateway, listener: Listener, route: HTTPRoute) -> bool:
    if listener.protocol not in SERVED_PROTOCOLS or (listener.route_kinds and "HTTPRoute" not in listener.route_kinds):
        return False
    namespace = route.meta.id.namespace
    match listener.namespaces_from:
        case NamespacesFrom.ALL:
            return True
        case NamespacesFrom.SAME:
            return namespace == gateway.meta.id.namespace
        case NamespacesFrom.SELECTOR:
            known = manifests.namespaces.get(ObjectName("default", namespace))
            labels = {"kubernetes.io/metadata.name": namespace, **(known.meta.labels if known else {})}
            return listener.namespace_selector.matches(labels)
        case NamespacesFrom.NONE:
            return False


def _effective_hostnames(listener: Listener, route: HTTPRoute) -> tuple[str, ...]:
    written = route.hostnames or ("",)
    found = (hosts.intersect(listener.hostname, name) for name in written)
    return tuple(dict.fromkeys(name for name in found if name is not None))


# --- Backends --------------------------------------------------------------------------------------------------------


def _backend(manifests: Manifests, addresses: Addresses, route: HTTPRoute, ref: BackendRef) -> Backend:
    fault = None
    target: InferencePool | ServicePortRef | None = None
    if not (ref.is_pool or ref.is_service):
        fault = Condition("ResolvedRefs", False, "InvalidKind", f"{ref.kind} {ref.id} is no kind of backend")
    elif not _permitted(manifests, route, ref):
        fault = Condition("ResolvedRefs", False, "RefNotPermitted", f"no ReferenceGrant lets it refer to {ref.id}")
    elif ref.is_pool:
        target = manifests.pools.get(ref.id)
    elif ref.id in manifests.services or service_endpoints(manifests, *ref.id, ref.port or 0, addresses):
        target = ServicePortRef(ref.id, ref.port or 0)
    if target is None and fault is None:
        fault = Condition("ResolvedRefs", False, "BackendNotFound", f"no {ref.kind} {ref.id}")
    return Backend(ref.weight, ref.filters, target, fault)


def _permitted(manifests: Manifests, route: HTTPRoute, ref: BackendRef) -> bool:
    if ref.id.namespace == route.meta.id.namespace:
        return True
    return any(
        grant.meta.id.namespace == ref.id.namespace
        and any(
            (peer.group, peer.kind, peer.namespace) == (GATEWAY_GROUP, "HTTPRoute", route.meta.id.namespace)
            for peer in grant.from_
        )
        and any(
            peer.kind == ref.kind and peer.group == ref.group and peer.name in ("", ref.id.name) for peer in grant.to
        )
        for grant in manifests.grants.values()
    )


def _resolved_refs(backends: Mapping[tuple[ObjectName, int], tuple[Backend, ...]], route: HTTPRoute) -> Condition:
    for index in range(len(route.rules)):
        for backend in backends[route.meta.id, index]:
            if backend.fault is not None:
                return backend.fault
    return Condition("ResolvedRefs", True, "ResolvedRefs", "All references resolved")


def _pool_parents(
    attachments: list[_Attachment], backends: Mapping[tuple[ObjectName, int], tuple[Backend, ...]]
) -> Mapping[ObjectName, tuple[ObjectName, ...]]:
    """The Gateways through which each pool is reached."""
    found: dict[ObjectName, dict[ObjectName, None]] = {}
    for attachment in attachments:
        for index in range(len(attachment.route.rules)):
            for backend in backends[attachment.route.meta.id, index]:
                if isinstance(backend.target, InferencePool):
                    found.setdefault(backend.target.meta.id, {})[attachment.gateway.meta.id] = None
    return {pool: tuple(sorted(gateways)) for pool, gateways in found.items()}


# --- Hosts and precedence --------------------------------------------------------------------------------------------


def _ports(
    manifests: Manifests,
    attachments: list[_Attachment],
    backends: Mapping[tuple[ObjectName, int], tuple[Backend, ...]],
) -> tuple[Port, ...]:
    """Listeners of several Gateways on one port share it: one Envoy serves them all."""
    listeners: dict[int, list[Listener]] = {}
    for gateway in manifests.gateways.values():
        for listener in gateway.listeners:
            if listener.protocol in SERVED_PROTOCOLS:
                listeners.setdefault(listener.port, []).append(listener)
    return tuple(
        Port(
            number,
            tuple(_virtual_hosts(found, [item for item in attachments if item.listener.port == number], backends)),
        )
        for number, found in sorted(listeners.items())
    )


def _virtual_hosts(
    listeners: list[Listener],
    attachments: list[_Attachment],
    backends: Mapping[tuple[ObjectName, int], tuple[Backend, ...]],
) -> Iterator[VirtualHost]:
    """One per host name that anything names. A host belongs to its most specific listener alone, and takes there the
    rules of every route whose own host name covers it, the most specific first."""
    names = {listener.hostname for listener in listeners} | {name for item in attachments for name in item.hostnames}
    for host in sorted(names, key=hosts.specificity):
        owner = min((item.hostname for item in listeners if hosts.covers(item.hostname, host)), key=hosts.specificity)
        entries = {
            entry.name + entry.hostname: entry
            for item in attachments
            if item.listener.hostname == owner
            for name in item.hostnames
            if hosts.covers(name, host)
            for entry in _entries(item.route, name, backends)
        }
        yield VirtualHost(host, tuple(sorted(entries.values(), key=_precedence)))


def _entries(
    route: HTTPRoute, hostname: str, backends: Mapping[tuple[ObjectName, int], tuple[Backend, ...]]
) -> Iterator[Entry]:
    for rule_index, rule in enumerate(route.rules):
        for match_index, match in enumerate(rule.matches):
            served = backends[route.meta.id, rule_index]
            yield Entry(route, rule_index, match_index, hostname, match, rule, served)


_PATH_ORDER = {PathType.EXACT: 0, PathType.REGEX: 1, PathType.PREFIX: 2}


def _precedence(entry: Entry) -> tuple[object, ...]:
    """The order of the Gateway API: host, exact path, longest prefix, method, headers, query, age, name, order."""
    match, meta = entry.match, entry.route.meta
    return (
        hosts.specificity(entry.hostname),
        _PATH_ORDER[match.path.type],
        -len(match.path.value.rstrip("/")),
        not match.method,
        -len(match.headers),
        -len(match.query),
        meta.created or "~",  # without a time stamp: younger than all that have one
        meta.id,
        entry.rule_index,
        entry.match_index,
    )


# --- Status ----------------------------------------------------------------------------------------------------------


def _gateway_status(gateway: Gateway, attachments: list[_Attachment]) -> GatewayStatus:
    listeners = tuple(_listener_status(gateway, listener, attachments) for listener in gateway.listeners)
    served = any(listener.conditions[0].is_true for listener in listeners)
    reason = "Accepted" if served else "ListenersNotValid"
    return GatewayStatus(
        gateway.meta.id,
        (
            Condition("Accepted", served, reason, "" if served else "no listener can be served"),
            Condition("Programmed", served, "Programmed" if served else "Invalid"),
        ),
        listeners,
    )


def _listener_status(gateway: Gateway, listener: Listener, attachments: list[_Attachment]) -> ListenerStatus:
    served = listener.protocol in SERVED_PROTOCOLS
    count = len({item.route.meta.id for item in attachments if item.gateway is gateway and item.listener is listener})
    message = "" if served else f"protocol {listener.protocol} is not served; HTTP is"
    return ListenerStatus(
        listener.name,
        count,
        (
            Condition("Accepted", served, "Accepted" if served else "UnsupportedProtocol", message),
            Condition("ResolvedRefs", True, "ResolvedRefs"),
            Condition("Programmed", served, "Programmed" if served else "Invalid"),
        ),
    )
