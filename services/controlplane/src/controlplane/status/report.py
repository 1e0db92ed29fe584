"""A status is written down: as JSON in the shape of the objects' own `status`, and in lines for people. Pure."""

from collections.abc import Iterable
from typing import Final

from controlplane.status.conditions import (
    PARTIALLY_INVALID,
    AIRouteStatus,
    ClassStatus,
    Condition,
    GatewayStatus,
    ParentStatus,
    PolicyStatus,
    PoolStatus,
    RouteStatus,
    Status,
)
from controlplane.status.uptake import Uptake
from gateway.kube.objects import GATEWAY_GROUP, ObjectKey, ObjectName

Tree = dict[str, object]

CONTROLLER_NAME: Final = "pointsman.dev/controlplane"


def complaints(status: Status) -> tuple[str, ...]:
    """Every condition that is not as it should be, and every warning, in a line for people."""
    found = [("Gateway", gateway.id, condition) for gateway in status.gateways for condition in gateway.conditions]
    for kind, items in (("HTTPRoute", status.routes), ("InferencePool", status.pools)):
        for item in items:
            found += [(kind, item.id, condition) for parent in item.parents for condition in parent.conditions]
    found += [
        (f"Listener {listener.name} of Gateway", gateway.id, condition)
        for gateway in status.gateways
        for listener in gateway.listeners
        for condition in listener.conditions
    ]
    found += [(policy.kind, policy.id, policy.accepted) for policy in status.policies]
    found += [
        ("AIGatewayRoute", route.id, item) for route in status.ai_routes for item in route.conditions if _is_own(item)
    ]
    lines = (
        f"{kind} {name}: {condition.type} is {str(condition.is_true).lower()}: {condition.reason}"
        + (f": {condition.message}" * bool(condition.message))
        for kind, name, condition in found
        if not condition.is_good
    )
    return tuple(dict.fromkeys((*lines, *status.warnings)))


def _is_own(condition: Condition) -> bool:
    """Whether an AIGatewayRoute alone says it, and not the HTTPRoute of its name."""
    return condition.type == PARTIALLY_INVALID


def summary(status: Status) -> str:
    """What there is, in a line for people who want to know whether their folder was read at all."""
    pools = ", ".join(f"{pool.id} ({pool.endpoints})" for pool in status.pools)
    counts = f"gateways: {len(status.gateways)}, routes: {len(status.routes)}, pools: {len(status.pools)}"
    return f"{counts}; pools and their endpoints: {pools}" if pools else counts


def proxies(uptakes: Iterable[Uptake]) -> list[dict[str, object]]:
    """The Envoys that are known, with what each made of its latest configuration."""
    states = []
    for uptake in uptakes:
        states += [(node, "taken", "") for node in uptake.taken] + [(node, "waiting", "") for node in uptake.waiting]
        states += [(found.node, "refused", found.message) for found in uptake.refusals]
    return [{"node": node, "state": state, "message": message} for node, state, message in sorted(states)]


def tree(status: Status) -> dict[str, object]:
    """As JSON, each object with the fields of its own `status`."""
    return {
        "gateways": [{**_named(found.id), **gateway_status(found)} for found in status.gateways],
        "routes": [{**_named(found.id), **route_status(found)} for found in status.routes],
        "pools": [
            {
                **_named(found.id),
                "endpoints": found.endpoints,
                "simulated": found.simulated,
                "picker": found.picker,
                "pickerReason": found.picker_reason,
                "pickerBody": found.picker_body,
                "pickerSecurity": found.picker_security,
                **pool_status(found),
            }
            for found in status.pools
        ],
        "policies": [
            {"apiVersion": found.api_version, "kind": found.kind, **_named(found.id), **policy_status(found)}
            for found in status.policies
        ],
        "aiRoutes": [
            {"apiVersion": found.api_version, **_named(found.id), **ai_route_status(found)}
            for found in status.ai_routes
        ],
        "ports": [
            {"port": item.port, "bound": item.bound, "modelLifting": item.lift, "modelLiftingReason": item.lift_reason}
            for item in status.ports
        ],
        "warnings": list(status.warnings),
    }


def statuses(status: Status) -> dict[ObjectKey, Tree]:
    """The `status` of each object, for where it is kept."""
    found = {ObjectKey("GatewayClass", item.id): class_status(item) for item in status.classes}
    found |= {ObjectKey("Gateway", item.id): gateway_status(item) for item in status.gateways}
    found |= {ObjectKey("HTTPRoute", item.id): route_status(item) for item in status.routes}
    found |= {ObjectKey("InferencePool", item.id): pool_status(item) for item in status.pools}
    found |= {ObjectKey("AIGatewayRoute", item.id): ai_route_status(item) for item in status.ai_routes}
    return found | {ObjectKey(item.kind, item.id): policy_status(item) for item in status.policies}


def class_status(found: ClassStatus) -> Tree:
    """A GatewayClass's `status`."""
    return {"conditions": _conditions((found.accepted,), found.generation)}


def gateway_status(found: GatewayStatus) -> Tree:
    """A Gateway's `status`."""
    return {
        "addresses": [{"type": _address_type(value), "value": value} for value in found.addresses],
        "conditions": _conditions(found.conditions, found.generation),
        "listeners": [
            {
                "name": listener.name,
                "attachedRoutes": listener.attached_routes,
                "supportedKinds": [{"group": GATEWAY_GROUP, "kind": kind} for kind in listener.kinds],
                "conditions": _conditions(listener.conditions, found.generation),
            }
            for listener in found.listeners
        ],
    }


def route_status(found: RouteStatus) -> Tree:
    """An HTTPRoute's `status`."""
    return {"parents": _parents(found.parents, found.generation)}


def pool_status(found: PoolStatus) -> Tree:
    """An InferencePool's `status`: one parent for each Gateway that reaches it."""
    return {"parents": _parents(found.parents, found.generation)}


def policy_status(found: PolicyStatus) -> Tree:
    """The `status` of a policy that restricts access."""
    return {"conditions": _conditions((found.accepted,), found.generation)}


def ai_route_status(found: AIRouteStatus) -> Tree:
    """An AIGatewayRoute's `status`."""
    return {"conditions": _conditions(found.conditions, found.generation)}


def _named(name: ObjectName) -> Tree:
    return {"namespace": name.namespace, "name": name.name}


def _address_type(value: str) -> str:
    return "IPAddress" if ":" in value or value.replace(".", "").isdecimal() else "Hostname"


def _parents(parents: tuple[ParentStatus, ...], generation: int | None) -> list[Tree]:
    return [
        {
            "parentRef": {
                "group": GATEWAY_GROUP,
                "kind": "Gateway",
                **_named(parent.parent),
                **({"sectionName": parent.section_name} if parent.section_name else {}),
                **({"port": parent.port} if parent.port is not None else {}),
            },
            "controllerName": CONTROLLER_NAME,
            "conditions": _conditions(parent.conditions, generation),
        }
        for parent in parents
    ]


def _conditions(conditions: tuple[Condition, ...], generation: int | None) -> list[Tree]:
    observed: Tree = {} if generation is None else {"observedGeneration": generation}
    return [
        {
            "type": condition.type,
            "status": "True" if condition.is_true else "False",
            "reason": condition.reason,
            "message": condition.message,
            **({"lastTransitionTime": condition.since} if condition.since else {}),
            **observed,
        }
        for condition in conditions
    ]
