"""The conditions of Gateways and pools, from what a plan decided about them. Pure."""

from collections.abc import Container, Iterable, Iterator, Sequence

from controlplane.plan.entries import Attachment
from controlplane.plan.listeners import Listeners, PlannedListener
from controlplane.plan.pools import PlannedPool
from controlplane.status.conditions import (
    PARTIALLY_INVALID,
    AIRouteStatus,
    Condition,
    GatewayStatus,
    ListenerStatus,
    ParentStatus,
    PoolStatus,
    RouteStatus,
    met,
    unmet,
)
from gateway.kube.objects import AIGatewayRoute, CostType, Gateway, InferencePool, Manifests, ObjectName, Workload
from gateway.wire import protocol


def gateway_status(
    gateway: Gateway, planned: Listeners, attachments: Sequence[Attachment], addresses: tuple[str, ...]
) -> GatewayStatus:
    """What a Gateway serves, and where if it serves anything. `addresses` are those of all Gateways, where they are
    known; else a Gateway is at those that it asks for."""
    own = [planned[gateway.meta.id, listener.name] for listener in gateway.listeners]
    listeners = tuple(_listener_status(item, attachments) for item in own)
    if not any(item.accepted.is_true for item in own):
        refused = unmet("Accepted", "ListenersNotValid", "no listener can be served")
        conditions = (refused, unmet("Programmed", "Invalid"))
        return GatewayStatus(gateway.meta.id, conditions, listeners, (), gateway.meta.generation)
    is_served = any(item.is_served for item in own)
    elsewhere = [each for each in gateway.addresses if addresses and each not in addresses]
    programmed = met("Programmed", "Programmed")
    if not is_served:
        programmed = unmet("Programmed", "Invalid", "no listener is served")
    elif elsewhere:
        where = f"it is served at {', '.join(addresses)}, not at {', '.join(elsewhere)}"
        programmed = unmet("Programmed", "AddressNotUsable", where)
    conditions = (met("Accepted", "Accepted"), programmed)
    served_at = (addresses or gateway.addresses) if is_served else ()
    return GatewayStatus(gateway.meta.id, conditions, listeners, served_at, gateway.meta.generation)


def _listener_status(planned: PlannedListener, attachments: Sequence[Attachment]) -> ListenerStatus:
    attached = {
        item.route.meta.id
        for item in attachments
        if (item.gateway.meta.id, item.listener.name) == (planned.gateway.meta.id, planned.listener.name)
    }
    return ListenerStatus(planned.listener.name, len(attached), planned.conditions, planned.route_kinds)


def pool_status(planned: PlannedPool, gateways: Sequence[ObjectName], workloads: Iterable[Workload]) -> PoolStatus:
    """What a pool is worth at each Gateway that reaches it. That it has no endpoint is a condition while it is so; of
    host names only a resolver can say whether they lead anywhere."""
    accepted = met("Accepted", "Accepted", "Referenced by an HTTPRoute accepted by the parentRef Gateway")
    resolved = planned.fault or met("ResolvedRefs", "ResolvedRefs", _resolution(planned))
    is_empty = not planned.endpoints and not planned.hostnames
    missing = (unmet("Available", "NoEndpoints", _endpointless(planned, workloads)),) if is_empty else ()
    picker = planned.picker
    return PoolStatus(
        id=planned.pool.meta.id,
        endpoints=len(planned.endpoints),
        picker=picker.transport.value if picker else "",
        picker_reason=picker.reason if picker else "",
        picker_body=f"{picker.body}: {picker.body_reason}" if picker else "",
        picker_security=picker.security if picker else "",
        parents=tuple(ParentStatus(gateway, "", (accepted, resolved, *missing)) for gateway in gateways),
        generation=planned.pool.meta.generation,
        simulated=planned.simulated,
    )


def _runs(workload: Workload, pool: InferencePool) -> bool:
    is_near = workload.meta.id.namespace == pool.meta.id.namespace
    return is_near and bool(pool.selector.match_labels) and pool.selector.matches(workload.pod_labels)


def _endpointless(planned: PlannedPool, workloads: Iterable[Workload]) -> str:
    """With what would run its Pods in a cluster."""
    if planned.hostnames:
        return f"no endpoint is known: {', '.join(planned.hostnames[:3])} cannot be resolved"
    runs = [item for item in workloads if _runs(item, planned.pool)]
    return f"no endpoint is known{_hint(runs, planned.pool)}"


def _hint(runs: Sequence[Workload], pool: InferencePool) -> str:
    if not runs:
        return ""
    labels = ", ".join(f"{key}: {value}" for key, value in sorted(pool.selector.match_labels.items()))
    return (
        f"; nothing runs {runs[0]} here. Start the server, or `model-sim serve MODEL` in its place, and write its "
        f"address into an EndpointSlice with the labels {labels}"
    )


def _resolution(planned: PlannedPool) -> str:
    if planned.goes_in_turn:
        return f"The annotation {protocol.PICKER_ANNOTATION} lets Envoy balance it by {protocol.ROUND_ROBIN}"
    if planned.picker is None:
        return "The pool names no endpoint picker and there is no default one: Envoy balances it by least request"
    if planned.picker.is_default:
        return f"The default endpoint picker {planned.picker.service} is asked"
    return "Referenced ExtensionRef resolved successfully"


def pool_warnings(
    pools: Sequence[PlannedPool], reached: Container[ObjectName], workloads: Iterable[Workload]
) -> Iterator[str]:
    """Pools to which no request can be sent, and which no Gateway has a condition about; and what is not reached."""
    for planned in pools:
        if not planned.endpoints and (planned.hostnames or planned.pool.meta.id not in reached):
            yield f"InferencePool {planned.pool.meta.id}: {_endpointless(planned, workloads)}"
        yield from (f"InferencePool {planned.pool.meta.id}: {why}" for why in planned.unreached)


def ai_route_statuses(manifests: Manifests, routes: Sequence[RouteStatus]) -> Iterator[AIRouteStatus]:
    """An AIGatewayRoute is accepted if the HTTPRoute of its name is, wherever that has a parent."""
    by_name = {route.id: route for route in routes}
    for name, found in sorted(manifests.ai_routes.items()):
        parents = by_name[name].parents if name in by_name else ()
        accepting = [item for parent in parents for item in parent.conditions if item.type == "Accepted"]
        refused = [item for item in accepting if not item.is_true]
        accepted = met("Accepted", "Accepted", f"served as HTTPRoute {name}")
        if refused or not accepting:
            accepted = unmet("Accepted", "NotAccepted", refused[0].message if refused else "it has no parent")
        conditions = (accepted, *_uncounted(found))
        yield AIRouteStatus(name, conditions, found.meta.generation, found.meta.api_version)


def _uncounted(found: AIGatewayRoute) -> Iterator[Condition]:
    """Says which costs of a route are not written."""
    keys = ", ".join(cost.key for cost in found.route.costs or () if cost.type is CostType.CEL)
    if keys:
        message = f"llmRequestCosts {keys}: type {CostType.CEL} is not supported, the cost is not written"
        yield met(PARTIALLY_INVALID, "UnsupportedValue", message)
