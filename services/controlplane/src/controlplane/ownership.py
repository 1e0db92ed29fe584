"""Which objects of a cluster this control plane serves: Gateways of classes that name it, and their routes. Pure."""

from collections.abc import Container, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from controlplane.status.conditions import ClassStatus, Condition, met
from controlplane.status.report import CONTROLLER_NAME
from gateway.kube.objects import (
    DEFAULT_NAMESPACE,
    GATEWAY_GROUP,
    Gateway,
    HTTPRoute,
    Manifests,
    ObjectName,
    ParentRef,
)
from gateway.kube.sources.cluster.resources import (
    AI_GATEWAY,
    BACKEND,
    BACKEND_TLS_POLICY,
    CONFIG_MAP,
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    GATEWAY,
    GATEWAY_CLASS,
    HTTP_ROUTE,
    INFERENCE_SET,
    MODEL_X,
    NAMESPACE,
    OBJECTIVE,
    OBJECTIVE_X,
    POLICIES,
    POOL,
    POOL_X,
    QUOTA_POLICY,
    REFERENCE_GRANT,
    REWRITE,
    REWRITE_X,
    SECRET,
    SERVICE,
    WORKSPACE,
    Selection,
    pods_of,
)

NO_FAULTS: Final[Mapping[ObjectName, Condition]] = MappingProxyType({})
RESOURCES = (
    GATEWAY_CLASS, GATEWAY, HTTP_ROUTE, REFERENCE_GRANT, BACKEND_TLS_POLICY, NAMESPACE, SERVICE, ENDPOINT_SLICE, SECRET,
    CONFIG_MAP, POOL_X, POOL, OBJECTIVE_X, OBJECTIVE, REWRITE_X, REWRITE, MODEL_X, DESTINATION_RULE, WORKSPACE,
    INFERENCE_SET, *AI_GATEWAY, QUOTA_POLICY, BACKEND, *POLICIES,
)  # fmt: skip


def needs(known: Manifests) -> tuple[Selection, ...]:
    """What is followed, in every namespace."""
    return (*(Selection(resource) for resource in RESOURCES), *pods_of(known.pools.values()))


def owned(manifests: Manifests) -> Manifests:
    """Without the Gateways of other controllers, and without the parents of routes that others answer for."""
    gateways = {name: each for name, each in manifests.gateways.items() if _is_own(each, manifests)}
    routes = {name: _of(each, gateways.keys()) for name, each in manifests.routes.items()}
    return replace(manifests, gateways=gateways, routes=routes)


def class_statuses(manifests: Manifests, faults: Mapping[ObjectName, Condition] = NO_FAULTS) -> tuple[ClassStatus, ...]:
    """Each class that names this controller is accepted, unless it has a fault."""
    accepted = met("Accepted", "Accepted", "its Gateways are served")
    return tuple(
        ClassStatus(name, faults.get(name, accepted), found.meta.generation)
        for name, found in sorted(manifests.gateway_classes.items())
        if found.controller == CONTROLLER_NAME
    )


def _is_own(gateway: Gateway, manifests: Manifests) -> bool:
    found = manifests.gateway_classes.get(ObjectName(DEFAULT_NAMESPACE, gateway.class_name))
    return found is not None and found.controller == CONTROLLER_NAME


def _of(route: HTTPRoute, gateways: Container[ObjectName]) -> HTTPRoute:
    parents = tuple(ref for ref in route.parents if _is_gateway(ref) and ref.id in gateways)
    return route if parents == route.parents else replace(route, parents=parents)


def _is_gateway(ref: ParentRef) -> bool:
    return (ref.group, ref.kind) == (GATEWAY_GROUP, "Gateway")
