"""Where a Gateway with Envoys of its own is reached: names, ports and addresses. Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from controlplane.deployment.parameters import Parameters, gateway_parameters
from controlplane.options import Deployment
from controlplane.status.conditions import Condition, unmet
from gateway.kube.objects import Gateway, Manifests, ObjectName, Service
from gateway.kube.resolution.endpoints import service_slices

PRIVILEGED: Final = 1024  # ports below are for root, which Envoy is not
OFFSET: Final = 10000  # 80 is bound as 10080, 443 as 10443
SERVED: Final = ("HTTP", "HTTPS")
LONGEST_NAME: Final = 63  # of a Service, and of a label's value
DIGEST: Final = 8  # hexadecimal digits that tell apart names which were shortened

_SERVICE_NAME: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Placement:
    """`fault` is why the Gateway is not reached; `port_map` gives the ports that Envoy binds, by those of listeners.
    `has_envoys`: some are ready, that is, they have a configuration."""

    addresses: tuple[str, ...] = ()
    port_map: Mapping[int, int] = field(default_factory=dict)
    fault: Condition | None = None
    has_envoys: bool = False


def placement(gateway: Gateway, manifests: Manifests, deployment: Deployment) -> Placement:
    """Of one Gateway, by what is known of its Service."""
    wanted = gateway_parameters(gateway, manifests, deployment)
    if isinstance(wanted, str):
        return Placement(port_map=bound_ports(gateway), fault=unmet("Accepted", "InvalidParameters", wanted))
    name = wanted.service or deployed_name(gateway)
    service = manifests.services.get(name)
    port_map = bound_ports(gateway) if wanted.service is None else _target_ports(service)
    found = _addresses(service)
    fault = None if found else unmet("Programmed", "AddressNotAssigned", _unassigned(name, service, wanted))
    ready = (each.ready for piece in service_slices(manifests, *name) for each in piece.endpoints)
    return Placement(found, port_map, fault, has_envoys=any(ready))


def deployed_name(gateway: Gateway) -> ObjectName:
    """Of everything that is deployed for a Gateway: `<gateway>-<class>`, in its namespace."""
    return ObjectName(gateway.meta.id.namespace, fitting(f"{gateway.meta.id.name}-{gateway.class_name}"))


def fitting(name: str) -> str:
    """A name that a Service or a label may have: as it is, or shortened and with a digest of what it was."""
    if len(name) <= LONGEST_NAME and _SERVICE_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST]
    start = re.sub(r"[^a-z0-9-]", "-", name)
    start = start if start[:1].isalpha() else f"g{start}"
    return f"{start[: LONGEST_NAME - DIGEST - 1].rstrip('-')}-{digest}"


def served_ports(gateway: Gateway) -> tuple[int, ...]:
    """Those of the listeners that can be served."""
    return tuple(sorted({each.port for each in gateway.listeners if each.protocol in SERVED}))


def bound_ports(gateway: Gateway) -> Mapping[int, int]:
    """The port that Envoy binds for each: its own, but for those of root."""
    ports = served_ports(gateway)
    taken = {port for port in ports if port >= PRIVILEGED}
    found = {port: port for port in taken}
    for port in (each for each in ports if each < PRIVILEGED):
        bound = port + OFFSET
        while bound in taken:
            bound += 1
        taken.add(bound)
        found[port] = bound
    return found


def _target_ports(service: Service | None) -> Mapping[int, int]:
    """Those of a Service that exists, as far as it gives their numbers."""
    ports = service.ports if service is not None else ()
    return {each.port: each.target_port for each in ports if isinstance(each.target_port, int)}


def _addresses(service: Service | None) -> tuple[str, ...]:
    if service is None:
        return ()
    return service.ingress if service.type == "LoadBalancer" else service.cluster_ips[:1]


def _unassigned(name: ObjectName, service: Service | None, wanted: Parameters) -> str:
    if service is None:
        return f"Service {name} is not there" if wanted.service else f"Service {name} is not there yet"
    return f"Service {name} of type {service.type} has no address yet"
