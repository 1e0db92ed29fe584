"""Conditions in the words of the Gateway API and the Inference Extension: what was accepted, and why something was not.

Pure values. There is no API server to write them to; `controlplane` shows them at /status.
"""

from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import ObjectName

CONTROLLER_NAME: Final = "pointsman.dev/controlplane"


@dataclass(frozen=True, slots=True)
class Condition:
    """`type` is true or false for a `reason` that programs know and a `message` for people."""

    type: str
    is_true: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    name: str
    attached_routes: int
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    id: ObjectName
    conditions: tuple[Condition, ...]
    listeners: tuple[ListenerStatus, ...]


@dataclass(frozen=True, slots=True)
class ParentStatus:
    """What one parent makes of a route or a pool; a pool's parent is the Gateway."""

    parent: ObjectName
    section_name: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class RouteStatus:
    id: ObjectName
    parents: tuple[ParentStatus, ...]


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """`picker` is the transport taken and `picker_reason` why; both are empty for a pool without a picker."""

    id: ObjectName
    endpoints: int
    picker: str
    picker_reason: str
    parents: tuple[ParentStatus, ...]


@dataclass(frozen=True, slots=True)
class PortStatus:
    """A listener of Envoy: the port that manifests name, the one that is bound, and how the model is lifted."""

    port: int
    bound: int
    lift: str
    lift_reason: str


@dataclass(frozen=True, slots=True)
class Status:
    gateways: tuple[GatewayStatus, ...] = ()
    routes: tuple[RouteStatus, ...] = ()
    pools: tuple[PoolStatus, ...] = ()
    ports: tuple[PortStatus, ...] = ()


def complaints(status: Status) -> tuple[str, ...]:
    """Every condition that is not met, in a line for people."""
    found = [("Gateway", gateway.id, condition) for gateway in status.gateways for condition in gateway.conditions]
    for kind, items in (("HTTPRoute", status.routes), ("InferencePool", status.pools)):
        for item in items:
            found += [(kind, item.id, condition) for parent in item.parents for condition in parent.conditions]
    lines = (
        f"{kind} {name}: {condition.type} is false: {condition.reason}"
        + (f": {condition.message}" * bool(condition.message))
        for kind, name, condition in found
        if not condition.is_true
    )
    return tuple(dict.fromkeys(lines))


def summary(status: Status) -> str:
    """What there is, in a line for people who want to know whether their folder was read at all."""
    pools = ", ".join(f"{pool.id} ({pool.endpoints})" for pool in status.pools)
    counts = f"gateways: {len(status.gateways)}, routes: {len(status.routes)}, pools: {len(status.pools)}"
    return f"{counts}; pools and their endpoints: {pools}" if pools else counts


def tree(status: Status) -> dict[str, object]:
    """As JSON, shaped like the `status` of the objects themselves."""
    return {
        "gateways": [
            {
                **_named(gateway.id),
                "conditions": _conditions(gateway.conditions),
                "listeners": [
                    {
                        "name": listener.name,
                        "attachedRoutes": listener.attached_routes,
                        "supportedKinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}],
                        "conditions": _conditions(listener.conditions),
                    }
                    for listener in gateway.listeners
                ],
            }
            for gateway in status.gateways
        ],
        "routes": [{**_named(route.id), "parents": _parents(route.parents)} for route in status.routes],
        "pools": [
            {
                **_named(pool.id),
                "endpoints": pool.endpoints,
                "picker": pool.picker,
                "pickerReason": pool.picker_reason,
                "parents": _parents(pool.parents),
            }
            for pool in status.pools
        ],
        "ports": [
            {"port": item.port, "bound": item.bound, "modelLifting": item.lift, "modelLiftingReason": item.lift_reason}
            for item in status.ports
        ],
    }


def _named(name: ObjectName) -> dict[str, object]:
    return {"namespace": name.namespace, "name": name.name}


def _parents(parents: tuple[ParentStatus, ...]) -> list[dict[str, object]]:
    return [
        {
            "parentRef": {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                **_named(parent.parent),
                **({"sectionName": parent.section_name} if parent.section_name else {}),
            },
            "controllerName": CONTROLLER_NAME,
            "conditions": _conditions(parent.conditions),
        }
        for parent in parents
    ]


def _conditions(conditions: tuple[Condition, ...]) -> list[dict[str, object]]:
    return [
        {
            "type": condition.type,
            "status": "True" if condition.is_true else "False",
            "reason": condition.reason,
            "message": condition.message,
        }
        for condition in conditions
    ]
