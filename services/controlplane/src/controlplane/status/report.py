"""A status is written down: as JSON in the shape of the objects' own `status`, and in lines for people. Pure."""

from typing import Final

from controlplane.status.conditions import Condition, ParentStatus, Status
from gateway.kube.objects import GATEWAY_GROUP, ObjectName

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
    lines = (
        f"{kind} {name}: {condition.type} is {str(condition.is_true).lower()}: {condition.reason}"
        + (f": {condition.message}" * bool(condition.message))
        for kind, name, condition in found
        if not condition.is_good
    )
    return tuple(dict.fromkeys((*lines, *status.warnings)))


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
                        "supportedKinds": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}],
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
                "pickerSecurity": pool.picker_security,
                "parents": _parents(pool.parents),
            }
            for pool in status.pools
        ],
        "policies": [
            {"kind": policy.kind, **_named(policy.id), "conditions": _conditions((policy.accepted,))}
            for policy in status.policies
        ],
        "ports": [
            {"port": item.port, "bound": item.bound, "modelLifting": item.lift, "modelLiftingReason": item.lift_reason}
            for item in status.ports
        ],
        "warnings": list(status.warnings),
    }


def _named(name: ObjectName) -> dict[str, object]:
    return {"namespace": name.namespace, "name": name.name}


def _parents(parents: tuple[ParentStatus, ...]) -> list[dict[str, object]]:
    return [
        {
            "parentRef": {
                "group": GATEWAY_GROUP,
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
