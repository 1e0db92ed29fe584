"""Which addresses belong to a pool or a Service: EndpointSlices, Pods and resolved host names, put together. Pure.

A pool selects Pods by label. An EndpointSlice whose labels match the selector brings its endpoints to the pool in the
same way. An FQDN is looked up in `addresses`, which a source keeps current; an unknown name gives nothing.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.kube.objects import (
    SERVICE_NAME_LABEL,
    AddressType,
    EndpointSlice,
    InferencePool,
    Manifests,
    Mirror,
    ObjectName,
    Pod,
    Service,
    ServicePort,
    SliceEndpoint,
    SlicePort,
)

HTTP_PORT_NAME: Final = "http"
ACTIVE_PORTS_ANNOTATION: Final = "inference.networking.k8s.io/active-ports"  # of a Pod: `8000,8001`

SERVICE_HOSTNAME: Final = re.compile(r"[^.]+\.[^.]+\.svc")

Addresses = Mapping[str, tuple[str, ...]]


class HostPort(NamedTuple):
    """One network endpoint. `str` is the form of x-gateway-destination-endpoint."""

    address: str
    port: int

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class PoolEndpoint:
    """One ready endpoint of a pool or a Service. `name` is that of its Pod, else its address as written; `labels` are
    those of its EndpointSlice or Pod."""

    address: str
    port: int
    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port)


def format_endpoint(address: str, port: int) -> str:
    """`10.0.0.1:8000`, `[::1]:8000`: the one place that writes an endpoint down."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def pool_endpoints(pool: InferencePool, manifests: Manifests, addresses: Addresses) -> tuple[PoolEndpoint, ...]:
    """The ready endpoints of a pool, each address and port once: those of its slices, then its Pods.

    A slice that names a Pod's address is newer knowledge than the Pod's own status, so the slice decides.
    """
    slices = pool_slices(pool, manifests)
    found: dict[tuple[str, int], PoolEndpoint] = {}
    for piece in slices:
        for endpoint, written, address in _addresses(piece, addresses):
            for port in _pool_ports(piece, pool):
                name = endpoint.name or written
                found.setdefault((address, port), PoolEndpoint(address, port, name, piece.meta.labels))
    named = {written for piece in slices for endpoint in piece.endpoints for written in endpoint.addresses}
    for pod in pool_pods(pool, manifests):
        if not pod.serves or not pod.addresses or not named.isdisjoint(pod.addresses):
            continue
        address = _canonical(pod.addresses[0])
        for port in _active_ports(pod, pool):
            found.setdefault((address, port), PoolEndpoint(address, port, pod.meta.id.name, pod.meta.labels))
    return tuple(found.values())


def service_endpoints(
    manifests: Manifests, namespace: str, name: str, port: int, addresses: Addresses
) -> tuple[HostPort, ...]:
    """Where a Service's port is served: its labelled EndpointSlices, else its Pods, else every address of its name."""
    members = service_members(manifests, namespace, name, port, addresses)
    return tuple(dict.fromkeys(HostPort(found.address, found.port) for found in members))


def service_members(
    manifests: Manifests, namespace: str, name: str, port: int, addresses: Addresses
) -> tuple[PoolEndpoint, ...]:
    """The same with the names and labels of their slices, each address and port once."""
    service = manifests.services.get(ObjectName(namespace, name))
    pieces = service_slices(manifests, namespace, name)
    if not pieces:
        hostname = service_hostname(namespace, name)
        return tuple(PoolEndpoint(_canonical(found), port, hostname, {}) for found in addresses.get(hostname, ()))
    found: dict[tuple[str, int], PoolEndpoint] = {}
    for piece in pieces:
        at = _service_port(piece, service, port)
        for endpoint, written, address in _addresses(piece, addresses):
            found.setdefault((address, at), PoolEndpoint(address, at, endpoint.name or written, piece.meta.labels))
    return tuple(found.values())


def reachable_services(manifests: Manifests, addresses: Addresses) -> frozenset[ObjectName]:
    """Services with an endpoint, known by slices or by name, whether there is an object for them or not."""
    labelled = {
        ObjectName(piece.meta.id.namespace, piece.meta.labels[SERVICE_NAME_LABEL])
        for piece in manifests.slices.values()
        if SERVICE_NAME_LABEL in piece.meta.labels
    }
    named = {ObjectName(*reversed(name.split(".")[:2])) for name in addresses if SERVICE_HOSTNAME.fullmatch(name)}
    return frozenset(found for found in labelled | named if service_endpoints(manifests, *found, 0, addresses))


def hostnames(manifests: Manifests, more: Iterable[ObjectName] = ()) -> frozenset[str]:
    """Every name that must be resolved for these manifests: FQDN addresses, and Services that have no slice, those of
    `more` among them."""
    names = set(slice_hostnames(manifests.slices.values()))
    services = {
        ObjectName(pool.meta.id.namespace, pool.picker.name)
        for pool in manifests.pools.values()
        if pool.picker is not None and pool.picker.kind == "Service"
    }
    services.update(more)
    services.update(
        backend.id
        for route in manifests.routes.values()
        for rule in route.rules
        for backend in (*rule.backends, *(found.backend for found in rule.filters if isinstance(found, Mirror)))
        if backend.is_service
    )
    names.update(service_hostname(*found) for found in services if not service_slices(manifests, *found))
    return frozenset(names)


def slice_hostnames(pieces: Iterable[EndpointSlice]) -> tuple[str, ...]:
    """The host names that slices hold in place of addresses, each once."""
    named = (piece for piece in pieces if piece.address_type is AddressType.FQDN)
    found = (address for piece in named for endpoint in piece.endpoints for address in endpoint.addresses)
    return tuple(dict.fromkeys(found))


def service_hostname(namespace: str, name: str) -> str:
    """The name a cluster's DNS gives a Service."""
    return f"{name}.{namespace}.svc"


def pool_slices(pool: InferencePool, manifests: Manifests) -> tuple[EndpointSlice, ...]:
    """The slices that a pool's selector matches."""
    return tuple(manifests.slice_index.select(pool.meta.id.namespace, pool.selector.match_labels))


def pool_pods(pool: InferencePool, manifests: Manifests) -> tuple[Pod, ...]:
    """The Pods that a pool's selector matches."""
    return tuple(manifests.pod_index.select(pool.meta.id.namespace, pool.selector.match_labels))


def service_slices(manifests: Manifests, namespace: str, name: str) -> tuple[EndpointSlice, ...]:
    """The slices labelled for a Service; without any, those that a cluster would write for the Pods it selects."""
    found = tuple(manifests.slice_index.select(namespace, {SERVICE_NAME_LABEL: name}))
    service = manifests.services.get(ObjectName(namespace, name))
    if found or service is None or not service.selector:
        return found
    pods = manifests.pod_index.select(namespace, service.selector)
    return tuple(_slice_of(pod, service) for pod in pods if pod.addresses)


def _slice_of(pod: Pod, service: Service) -> EndpointSlice:
    address = pod.addresses[0]
    return EndpointSlice(
        meta=replace(pod.meta, labels={**pod.meta.labels, SERVICE_NAME_LABEL: service.meta.id.name}),
        address_type=AddressType.IPV6 if ":" in address else AddressType.IPV4,
        endpoints=(SliceEndpoint((address,), ready=pod.serves, name=pod.meta.id.name),),
        ports=tuple(SlicePort(port.name, _target(port, pod)) for port in service.ports),
    )


def _target(port: ServicePort, pod: Pod) -> int:
    """The port of a Pod behind one of a Service, which names it or has the same number."""
    if isinstance(port.target_port, int):
        return port.target_port
    return next((found.port for found in pod.ports if port.target_port and found.name == port.target_port), port.port)


def _addresses(piece: EndpointSlice, addresses: Addresses) -> Iterator[tuple[SliceEndpoint, str, str]]:
    """Each ready endpoint of a slice with the address as written and as connected to."""
    for endpoint in piece.endpoints:
        if not endpoint.ready:
            continue
        for written in endpoint.addresses:
            known = addresses.get(written, ()) if piece.address_type is AddressType.FQDN else (written,)
            for address in known:
                yield endpoint, written, _canonical(address)


def _canonical(address: str) -> str:
    """IPv6 in its shortest form, as Envoy writes it, or a picked endpoint would not be found."""
    return ipaddress.ip_address(address).compressed if ":" in address and "%" not in address else address


def _pool_ports(piece: EndpointSlice, pool: InferencePool) -> tuple[int, ...]:
    if not piece.ports:
        return pool.target_ports
    named = [port.port for port in piece.ports if port.name == HTTP_PORT_NAME]
    return ((named or [piece.ports[0].port])[0],)


def _active_ports(pod: Pod, pool: InferencePool) -> tuple[int, ...]:
    """The pool's ports, or those of them that the Pod says are live."""
    written = pod.meta.annotations.get(ACTIVE_PORTS_ANNOTATION)
    if written is None:
        return pool.target_ports
    live = {part.strip() for part in written.split(",")}
    return tuple(port for port in pool.target_ports if str(port) in live)


def _service_port(piece: EndpointSlice, service: Service | None, port: int) -> int:
    """Slice ports are the target ports, found by the name of the Service's port; a lone one needs no name."""
    wanted = next((item for item in service.ports if item.port == port), None) if service else None
    for found in piece.ports:
        if len(piece.ports) == 1 or (wanted is not None and found.name == wanted.name):
            return found.port
    return wanted.target_port if wanted is not None and isinstance(wanted.target_port, int) else port
