"""What policies that restrict access target: objects, and sections of them. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.kube.objects import (
    AccessPolicy,
    Gateway,
    HTTPRoute,
    InferencePool,
    Manifests,
    ObjectName,
    PolicyTarget,
    Service,
)
from gateway.kube.resolution.ai_gateway import service_name
from gateway.kube.resolution.endpoints import pool_pods, pool_slices

MESH_NAMESPACE: Final = "istio-system"  # a policy here that selects nothing is for every namespace
SECURITY_POLICY: Final = "SecurityPolicy"
GATEWAY_LABELS: Final = ("gateway.networking.k8s.io/gateway-name", "istio.io/gateway-name")

TARGET_KINDS: Final = ("Gateway", "HTTPRoute", "InferencePool", "Service")
SECTIONED: Final = ("Gateway", "HTTPRoute")

Target = tuple[str, ObjectName, str]  # kind, object, and its section or nothing


def is_here(target: Target, manifests: Manifests) -> bool:
    """Whether an object that has sections is here, with the one that is named."""
    kind, name, section = target
    if kind == "Gateway":
        gateway = manifests.gateways.get(name)
        return gateway is not None and (not section or any(each.name == section for each in gateway.listeners))
    if kind == "HTTPRoute":
        route = manifests.routes.get(name)
        return route is not None and (not section or any(each.name == section for each in route.rules))
    return True


def targeted(policy: AccessPolicy, manifests: Manifests) -> Iterator[Target]:
    """Every object that a policy is for, whether it is here or not."""
    if not policy.targets:
        yield from _workloads(policy, manifests)
    for target in policy.targets:
        yield from _resolved(policy, target, manifests)


def _resolved(policy: AccessPolicy, target: PolicyTarget, manifests: Manifests) -> Iterator[Target]:
    namespace = policy.meta.id.namespace
    if target.kind == "AIServiceBackend" and target.labels is None:
        yield from _ai_backend(ObjectName(namespace, target.name), manifests)
        return
    if target.kind == "AIGatewayRoute" and target.labels is None:
        yield "HTTPRoute", ObjectName(namespace, target.name), ""
        return
    if target.kind == "GatewayClass":
        for name, gateway in manifests.gateways.items():
            if gateway.class_name == target.name or target.labels is not None:
                yield "Gateway", name, ""
        return
    if target.labels is None:
        if target.kind in TARGET_KINDS:
            section = target.section if target.kind in SECTIONED else ""  # of a backend, one port is as good as all
            yield target.kind, ObjectName(namespace, target.name), section
        return
    for name, found in _of_kind(target.kind, manifests).items():
        if name.namespace == namespace and target.labels.matches(found.meta.labels):
            yield target.kind, name, ""


def _ai_backend(name: ObjectName, manifests: Manifests) -> Iterator[Target]:
    """Whatever leads to a backend of Envoy AI Gateway."""
    yield "Service", service_name(name), ""
    found = manifests.ai_backends.get(name)
    if found is None:
        return
    if found.backend.is_pool:
        yield "InferencePool", found.backend.id, ""
    for pool in manifests.pools.values():
        if pool.meta.id.namespace == name.namespace and pool.selector.matches(found.meta.labels):
            yield "InferencePool", pool.meta.id, ""


def _of_kind(kind: str, manifests: Manifests) -> Mapping[ObjectName, Gateway | HTTPRoute | InferencePool | Service]:
    match kind:
        case "Gateway":
            return manifests.gateways
        case "HTTPRoute":
            return manifests.routes
        case "InferencePool":
            return manifests.pools
        case "Service":
            return manifests.services
    return {}


def _workloads(policy: AccessPolicy, manifests: Manifests) -> Iterator[Target]:
    """Gateways and pools whose Pods the selector matches, and Services where it matches all. PeerAuthentication is for
    servers within a mesh, which a Gateway's listeners are not. A SecurityPolicy has no selector: it is for every route
    of its namespace, too."""
    selected = policy.workloads.match_labels
    namespace = policy.meta.id.namespace
    everywhere = namespace == MESH_NAMESPACE and not selected
    for name in manifests.gateways:
        labels = dict.fromkeys(GATEWAY_LABELS, name.name)
        is_meant = policy.kind != "PeerAuthentication" and policy.workloads.matches(labels)
        if (everywhere or name.namespace == namespace) and is_meant:
            yield "Gateway", name, ""
    for name in manifests.routes:
        if policy.kind == SECURITY_POLICY and name.namespace == namespace:
            yield "HTTPRoute", name, ""
    for name, pool in manifests.pools.items():
        if (everywhere or name.namespace == namespace) and _selects(policy, pool, manifests):
            yield "InferencePool", name, ""
    for name in manifests.services:
        if (everywhere or name.namespace == namespace) and not selected:
            yield "Service", name, ""


def _selects(policy: AccessPolicy, pool: InferencePool, manifests: Manifests) -> bool:
    labels = [pool.selector.match_labels]
    labels += [pod.meta.labels for pod in pool_pods(pool, manifests)]
    labels += [piece.meta.labels for piece in pool_slices(pool, manifests)]
    return any(policy.workloads.matches(each) for each in labels)
