"""Where the backends of each rule lead, and whether they may be referred to. Pure."""

from collections.abc import Iterator, Mapping

from controlplane.plan.connections import connection_to
from controlplane.plan.entries import Backend, Mirrored, ServicePortRef
from controlplane.plan.grants import Referred, Referring, permitted
from controlplane.plan.restrictions import Restrictions
from controlplane.plan.tiers import tiered
from controlplane.status.conditions import Condition, met, unmet
from gateway.kube.objects import (
    GATEWAY_GROUP,
    BackendRef,
    HTTPRoute,
    InferencePool,
    Manifests,
    Mirror,
    ObjectName,
    UnservedFilter,
    WrittenRef,
)

Target = InferencePool | ServicePortRef
Backends = Mapping[tuple[ObjectName, int], tuple[Backend, ...]]  # by route and number of the rule
Mirrors = Mapping[tuple[ObjectName, int], tuple[Mirrored, ...]]


def all_backends(manifests: Manifests, reachable: frozenset[ObjectName], kept: Restrictions) -> Backends:
    """The backends of every rule of every route. `reachable` are Services with an address, objects or not."""
    return {
        (route.meta.id, index): tiered(
            f"{route.meta.id.namespace}_{route.meta.id.name}_{index}",
            rule.backends,
            [_backend(_target(manifests, reachable, route, ref), ref, kept) for ref in rule.backends],
        )
        for route in manifests.routes.values()
        for index, rule in enumerate(route.rules)
    }


def all_mirrors(manifests: Manifests, reachable: frozenset[ObjectName], kept: Restrictions) -> Mirrors:
    """Where the copies of every rule go; an entry for rules that have any."""
    return {
        (route.meta.id, index): tuple(
            _mirrored(item, _target(manifests, reachable, route, item.backend), kept) for item in copies
        )
        for route in manifests.routes.values()
        for index, rule in enumerate(route.rules)
        if (copies := [item for item in rule.filters if isinstance(item, Mirror)])
    }


def _mirrored(copy: Mirror, found: Target | Condition, kept: Restrictions) -> Mirrored:
    backend = _backend(found, copy.backend, kept)
    return Mirrored(copy, backend.target, backend.fault)


def resolved_refs(backends: Backends, mirrors: Mirrors, route: HTTPRoute) -> Condition:
    """The ResolvedRefs condition of a route: the first fault of a filter or a backend, if any has one."""
    for index, rule in enumerate(route.rules):
        for filters in (rule.filters, *(ref.filters for ref in rule.backends)):
            extension = next((item for item in filters if isinstance(item, UnservedFilter) and item.reference), None)
            if extension is not None:
                message = f"rule {index} answers 500: its filter {extension.reference} is not supported"
                return unmet("ResolvedRefs", "InvalidKind", message)
        copies = mirrors.get((route.meta.id, index), ())
        faults = (*(item.fault for item in backends[route.meta.id, index]), *(item.fault for item in copies))
        first = next((fault for fault in faults if fault is not None), None)
        if first is not None:
            return first
    return met("ResolvedRefs", "ResolvedRefs", "All references resolved")


def warnings(backends: Backends, manifests: Manifests) -> tuple[str, ...]:
    """References that are understood although the API means something else by them."""
    return tuple(_warnings(backends, manifests))


def _warnings(backends: Backends, manifests: Manifests) -> Iterator[str]:
    for name, route in sorted(manifests.routes.items()):
        for index, rule in enumerate(route.rules):
            for ref, backend in zip(rule.backends, backends[name, index], strict=True):
                if ref.is_bare and isinstance(backend.target, InferencePool):
                    yield (
                        f"HTTPRoute {name}: backendRef {ref.id.name} of rule {index} names no kind, which means a "
                        f"Service; there is none, so InferencePool {ref.id} is taken"
                    )


def _backend(found: Target | Condition, ref: BackendRef, kept: Restrictions) -> Backend:
    if isinstance(found, Condition):
        return Backend(ref.weight, ref.filters, None, found)
    restriction = (
        kept.of("InferencePool", found.meta.id) if isinstance(found, InferencePool) else kept.of("Service", found.id)
    )
    if restriction:
        return Backend(ref.weight, ref.filters, None, unmet("ResolvedRefs", "RefNotPermitted", restriction))
    named = ref.written.id if ref.written is not None and ref.written.kind == "AIServiceBackend" else None
    return Backend(ref.weight, ref.filters, found, changes=ref.changes, ai_backend=named)


def _target(
    manifests: Manifests, reachable: frozenset[ObjectName], route: HTTPRoute, ref: BackendRef
) -> Target | Condition:
    """What a reference leads to, or why it leads nowhere."""
    if not (ref.is_pool or ref.is_service):
        return unmet("ResolvedRefs", "InvalidKind", f"{ref.kind} {ref.id} is no kind of backend")
    written = ref.written or WrittenRef(GATEWAY_GROUP, "HTTPRoute", ref.group, ref.kind, ref.id)
    if not _is_permitted(manifests, route, written):
        return unmet("ResolvedRefs", "RefNotPermitted", f"no ReferenceGrant lets it refer to {written.id}")
    if ref.is_service:
        is_known = ref.id in manifests.services or ref.id in reachable
        if is_known and ref.port is None:
            return unmet("ResolvedRefs", "BackendNotFound", f"Service {ref.id} needs a port")
        if is_known:
            connection = connection_to(ref.id, ref.port or 0, manifests)
            return connection if isinstance(connection, Condition) else ServicePortRef(ref.id, ref.port or 0)
    pool = manifests.pools.get(ref.id) if ref.is_pool or ref.is_bare else None
    return pool or unmet("ResolvedRefs", "BackendNotFound", f"no {written.kind} {written.id}")


def _is_permitted(manifests: Manifests, route: HTTPRoute, written: WrittenRef) -> bool:
    """Whether the route may refer to what it names. An AIGatewayRoute may do so as itself and as its HTTPRoute."""
    referred = Referred(written.group, written.kind, written.id)
    kinds = ((written.by_group, written.by_kind), (GATEWAY_GROUP, "HTTPRoute"))
    return any(permitted(manifests, Referring(*kind, route.meta.id.namespace), referred) for kind in kinds)
