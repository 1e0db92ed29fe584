"""Conditions in the words of the Gateway API and the Inference Extension: what was accepted, and why something was not.

Pure values. A plan makes them, without the time of their last change; `report` writes them down.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.kube.objects import ObjectName

PARTIALLY_INVALID: Final = "PartiallyInvalid"
_NEGATIVE: Final = frozenset({PARTIALLY_INVALID})  # conditions that are bad when they are true


@dataclass(frozen=True, slots=True)
class Condition:
    """`type` is true or false for a `reason` that programs know and a `message` for people; `since` when."""

    type: str
    is_true: bool
    reason: str
    message: str = ""
    since: str = field(default="", compare=False)

    @property
    def is_good(self) -> bool:
        """Whether it is as its object's author wants it."""
        return self.is_true != (self.type in _NEGATIVE)


def met(type_: str, reason: str, message: str = "") -> Condition:
    """A condition that is true."""
    return Condition(type_, True, reason, message)


def unmet(type_: str, reason: str, message: str = "") -> Condition:
    """A condition that is false, and why."""
    return Condition(type_, False, reason, message)


@dataclass(frozen=True, slots=True)
class ClassStatus:
    """Of a GatewayClass that names this controller."""

    id: ObjectName
    accepted: Condition
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    name: str
    attached_routes: int
    conditions: tuple[Condition, ...]
    kinds: tuple[str, ...] = ()  # of routes that it takes


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """`generation` is that of the object as it was planned, here and below; None where its source counts none."""

    id: ObjectName
    conditions: tuple[Condition, ...]
    listeners: tuple[ListenerStatus, ...]
    addresses: tuple[str, ...] = ()
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class ParentStatus:
    """What one parent makes of a route or a pool; a pool's parent is the Gateway."""

    parent: ObjectName
    section_name: str
    conditions: tuple[Condition, ...]
    port: int | None = None


@dataclass(frozen=True, slots=True)
class RouteStatus:
    id: ObjectName
    parents: tuple[ParentStatus, ...]
    generation: int | None = None
    hostnames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """`picker` is the transport taken and `picker_reason` why, `picker_body` how it gets a body and why,
    `picker_security` whether by TLS and why; all are empty for a pool without a picker. `simulated` of the endpoints
    stand in for real ones."""

    id: ObjectName
    endpoints: int
    picker: str
    picker_reason: str
    picker_body: str
    picker_security: str
    parents: tuple[ParentStatus, ...]
    generation: int | None = None
    simulated: int = 0


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    kind: str
    id: ObjectName
    accepted: Condition
    generation: int | None = None
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class AIRouteStatus:
    """Envoy AI Gateway's route. It is served as the HTTPRoute of its name, which says more."""

    id: ObjectName
    conditions: tuple[Condition, ...]
    generation: int | None = None
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class PortStatus:
    """A listener of Envoy: the port that manifests name, the one that is bound, and how the model is lifted."""

    port: int
    bound: int
    lift: str
    lift_reason: str


@dataclass(frozen=True, slots=True)
class Status:
    classes: tuple[ClassStatus, ...] = ()
    gateways: tuple[GatewayStatus, ...] = ()
    routes: tuple[RouteStatus, ...] = ()
    pools: tuple[PoolStatus, ...] = ()
    policies: tuple[PolicyStatus, ...] = ()
    ai_routes: tuple[AIRouteStatus, ...] = ()
    ports: tuple[PortStatus, ...] = ()
    warnings: tuple[str, ...] = ()  # what the APIs mean otherwise, and pools without an endpoint


Place = tuple[str, ...]  # of a condition: kind, object, and the part of it
Change = Callable[[Place, Condition], Condition]


def changed(status: Status, change: Change) -> Status:
    """A status with every condition as `change` gives it."""
    return replace(
        status,
        classes=tuple(
            replace(each, accepted=change(("GatewayClass", str(each.id)), each.accepted)) for each in status.classes
        ),
        gateways=tuple(_gateway(gateway, change) for gateway in status.gateways),
        routes=tuple(
            replace(route, parents=_parents(("HTTPRoute", str(route.id)), route.parents, change))
            for route in status.routes
        ),
        pools=tuple(
            replace(pool, parents=_parents(("InferencePool", str(pool.id)), pool.parents, change))
            for pool in status.pools
        ),
        policies=tuple(
            replace(policy, accepted=change((policy.kind, str(policy.id)), policy.accepted))
            for policy in status.policies
        ),
        ai_routes=tuple(
            replace(route, conditions=_conditions(("AIGatewayRoute", str(route.id)), route.conditions, change))
            for route in status.ai_routes
        ),
    )


def _gateway(gateway: GatewayStatus, change: Change) -> GatewayStatus:
    place = ("Gateway", str(gateway.id))
    listeners = tuple(
        replace(listener, conditions=_conditions((*place, listener.name), listener.conditions, change))
        for listener in gateway.listeners
    )
    return replace(gateway, conditions=_conditions(place, gateway.conditions, change), listeners=listeners)


def _parents(place: Place, parents: tuple[ParentStatus, ...], change: Change) -> tuple[ParentStatus, ...]:
    return tuple(
        replace(
            parent,
            conditions=_conditions(
                (*place, str(parent.parent), parent.section_name, str(parent.port)), parent.conditions, change
            ),
        )
        for parent in parents
    )


def _conditions(place: Place, conditions: tuple[Condition, ...], change: Change) -> tuple[Condition, ...]:
    return tuple(change(place, condition) for condition in conditions)
