"""The conditions of Gateways and pools, from what a plan decided about them. Pure."""

from collections.abc import Iterator, Sequence

from controlplane.plan.attachment import SERVED_PROTOCOLS
from controlplane.plan.entries import Attachment
from controlplane.plan.pools import PlannedPool
from controlplane.status.conditions import (
    Condition,
    GatewayStatus,
    ListenerStatus,
    ParentStatus,
    PoolStatus,
    met,
    unmet,
)
from gateway.kube.objects import Gateway, Listener, ObjectName


def gateway_status(gateway: Gateway, attachments: Sequence[Attachment]) -> GatewayStatus:
    """What a Gateway serves."""
    listeners = tuple(_listener_status(gateway, listener, attachments) for listener in gateway.listeners)
    if any(listener.conditions[0].is_true for listener in listeners):
        return GatewayStatus(gateway.meta.id, (met("Accepted", "Accepted"), met("Programmed", "Programmed")), listeners)
    refused = unmet("Accepted", "ListenersNotValid", "no listener can be served")
    return GatewayStatus(gateway.meta.id, (refused, unmet("Programmed", "Invalid")), listeners)


def _listener_status(gateway: Gateway, listener: Listener, attachments: Sequence[Attachment]) -> ListenerStatus:
    count = len({item.route.meta.id for item in attachments if item.gateway is gateway and item.listener is listener})
    accepted, programmed = _served(listener)
    return ListenerStatus(listener.name, count, (accepted, met("ResolvedRefs", "ResolvedRefs"), programmed))


def _served(listener: Listener) -> tuple[Condition, Condition]:
    if listener.protocol in SERVED_PROTOCOLS:
        return met("Accepted", "Accepted"), met("Programmed", "Programmed")
    message = f"protocol {listener.protocol} is not served; HTTP is"
    return unmet("Accepted", "UnsupportedProtocol", message), unmet("Programmed", "Invalid")


def pool_status(planned: PlannedPool, gateways: Sequence[ObjectName]) -> PoolStatus:
    """What a pool is worth at each Gateway that reaches it."""
    accepted = met("Accepted", "Accepted", "Referenced by an HTTPRoute accepted by the parentRef Gateway")
    resolved = planned.fault or met("ResolvedRefs", "ResolvedRefs", _resolution(planned))
    picker = planned.picker
    return PoolStatus(
        id=planned.pool.meta.id,
        endpoints=len(planned.endpoints),
        picker=picker.transport.value if picker else "",
        picker_reason=picker.reason if picker else "",
        parents=tuple(ParentStatus(gateway, "", (accepted, resolved)) for gateway in gateways),
    )


def _resolution(planned: PlannedPool) -> str:
    if planned.picker is None:
        return "The pool names no endpoint picker and there is no default one: Envoy balances it by least request"
    if planned.picker.is_default:
        return f"The default endpoint picker {planned.picker.service} is asked"
    return "Referenced ExtensionRef resolved successfully"


def pool_warnings(pools: Sequence[PlannedPool]) -> Iterator[str]:
    """Pools to which no request can be sent."""
    for planned in pools:
        if not planned.endpoints:
            yield f"InferencePool {planned.pool.meta.id}: no endpoint is known"
