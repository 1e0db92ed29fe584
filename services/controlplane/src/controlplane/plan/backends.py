"""Where the backends of each rule lead, and whether they may be referred to. Pure."""

from collections.abc import Mapping

from controlplane.plan.entries import Backend, ServicePortRef
from controlplane.status.conditions import Condition, met, unmet
from gateway.kube.objects import GATEWAY_GROUP, BackendRef, HTTPRoute, InferencePool, Manifests, ObjectName
from gateway.kube.resolution.endpoints import Addresses, service_endpoints

Backends = Mapping[tuple[ObjectName, int], tuple[Backend, ...]]  # by route and number of the rule


def all_backends(manifests: Manifests, addresses: Addresses) -> Backends:
    """The backends of every rule of every route."""
    return {
        (route.meta.id, index): tuple(_backend(manifests, addresses, route, ref) for ref in rule.backends)
        for route in manifests.routes.values()
        for index, rule in enumerate(route.rules)
    }


def resolved_refs(backends: Backends, route: HTTPRoute) -> Condition:
    """The ResolvedRefs condition of a route: the first fault of a backend, if any has one."""
    for index in range(len(route.rules)):
        for backend in backends[route.meta.id, index]:
            if backend.fault is not None:
                return backend.fault
    return met("ResolvedRefs", "ResolvedRefs", "All references resolved")


def _backend(manifests: Manifests, addresses: Addresses, route: HTTPRoute, ref: BackendRef) -> Backend:
    fault = None
    target: InferencePool | ServicePortRef | None = None
    if not (ref.is_pool or ref.is_service):
        fault = unmet("ResolvedRefs", "InvalidKind", f"{ref.kind} {ref.id} is no kind of backend")
    elif not _permitted(manifests, route, ref):
        fault = unmet("ResolvedRefs", "RefNotPermitted", f"no ReferenceGrant lets it refer to {ref.id}")
    elif ref.is_pool:
        target = manifests.pools.get(ref.id)
    elif ref.id in manifests.services or service_endpoints(manifests, *ref.id, ref.port or 0, addresses):
        target = ServicePortRef(ref.id, ref.port or 0)
    if target is None and fault is None:
        fault = unmet("ResolvedRefs", "BackendNotFound", f"no {ref.kind} {ref.id}")
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
