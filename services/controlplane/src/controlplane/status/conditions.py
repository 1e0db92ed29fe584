"""Conditions in the words of the Gateway API and the Inference Extension: what was accepted, and why something was not.

Pure values. A plan makes them; `report` writes them down.
"""

from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import ObjectName

PARTIALLY_INVALID: Final = "PartiallyInvalid"
_NEGATIVE: Final = frozenset({PARTIALLY_INVALID})  # conditions that are bad when they are true


@dataclass(frozen=True, slots=True)
class Condition:
    """`type` is true or false for a `reason` that programs know and a `message` for people."""

    type: str
    is_true: bool
    reason: str
    message: str = ""

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
    """`picker` is the transport taken and `picker_reason` why, `picker_security` whether by TLS and why; all are empty
    for a pool without a picker."""

    id: ObjectName
    endpoints: int
    picker: str
    picker_reason: str
    picker_security: str
    parents: tuple[ParentStatus, ...]


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    kind: str
    id: ObjectName
    accepted: Condition


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
    policies: tuple[PolicyStatus, ...] = ()
    ports: tuple[PortStatus, ...] = ()
    warnings: tuple[str, ...] = ()  # what the APIs mean otherwise, and pools without an endpoint
