"""The plain Services that routes send requests, or copies of them, to. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controlplane.plan.connections import Connection, Group, connection_to, group, traffic_policy
from controlplane.plan.entries import Entry, ServicePortRef
from controlplane.status.conditions import Condition
from gateway.kube.objects import Manifests, TrafficPolicy
from gateway.kube.resolution.endpoints import Addresses, service_members

H2C_PROTOCOL = "kubernetes.io/h2c"


@dataclass(frozen=True, slots=True)
class PlannedService:
    """One port of a Service as it is served."""

    ref: ServicePortRef
    group: Group
    policy: TrafficPolicy
    h2c: bool


def planned_services(
    entries: Iterable[Entry], manifests: Manifests, addresses: Addresses
) -> tuple[PlannedService, ...]:
    """Each port of a Service that an entry leads to. One that cannot be reached as its objects say has no endpoint."""
    refs = {ref for entry in entries for ref in _refs(entry)}
    return tuple(_planned(ref, manifests, addresses) for ref in sorted(refs, key=lambda item: (item.id, item.port)))


def _planned(ref: ServicePortRef, manifests: Manifests, addresses: Addresses) -> PlannedService:
    connection = connection_to(ref.id, ref.port, manifests)
    members = service_members(manifests, *ref.id, ref.port, addresses)
    found = Group(Connection(), ()) if isinstance(connection, Condition) else group(connection, members)
    return PlannedService(ref, found, traffic_policy(ref.id, ref.port, manifests), _is_h2c(ref, manifests))


def _refs(entry: Entry) -> Iterator[ServicePortRef]:
    for backend in entry.backends:
        if isinstance(backend.target, ServicePortRef):
            yield backend.target
    for mirrored in entry.mirrors:
        if isinstance(mirrored.target, ServicePortRef):
            yield mirrored.target


def _is_h2c(ref: ServicePortRef, manifests: Manifests) -> bool:
    known = manifests.services.get(ref.id)
    return known is not None and any(
        port.port == ref.port and port.app_protocol == H2C_PROTOCOL for port in known.ports
    )
