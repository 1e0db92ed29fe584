"""Manifests and addresses become every file that Envoy reads, and the status of every object.

Pure and whole: the same input gives the same bytes, and each file's version is a hash of its content. Names of files:
lds.json, cds.json, rds/<listener>.json, eds/<cluster>.json.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import orjson

from controlplane import clusters, listeners, names, routes
from controlplane.lifting import lifting
from controlplane.names import Tree
from controlplane.options import Options, PickerTransport
from controlplane.pickers import Picker, picker, pickers
from controlplane.plan import Plan, Port, ServicePortRef, plan
from controlplane.routes import Scope
from controlplane.status import Condition, ParentStatus, PoolStatus, PortStatus, Status
from gateway.kube.objects import InferencePool, Manifests, Mirror, ObjectName
from gateway.kube.resolution.base_models import base_models
from gateway.kube.resolution.endpoints import Addresses, pool_endpoints, service_endpoints

LDS = "lds.json"
CDS = "cds.json"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files by relative name, and what they make of the manifests."""

    files: Mapping[str, bytes]
    status: Status


def render(manifests: Manifests, addresses: Addresses, options: Options) -> Rendered:
    """Render everything."""
    planned = plan(manifests, addresses)
    asked = pickers(manifests, addresses, options)
    bases = base_models(manifests).names
    scopes = [(port, _scope(port, asked, bases, options)) for port in planned.ports]
    found = list(_clusters(manifests, addresses, options, planned, asked))
    if options.bbr is not None:  # also where no listener asks it any more: connections made before still do
        found.append((names.typed(names.CLUSTER_TYPE, **clusters.bbr_cluster(*options.bbr)), None))
    files = {f"eds/{cluster['name']}.json": _file([endpoints]) for cluster, endpoints in found if endpoints}
    files[CDS] = _file(cluster for cluster, _ in found)
    for port, scope in scopes:
        files[f"rds/{scope.name}.json"] = _file([routes.route_configuration(port, scope)])
    files[LDS] = _file(
        listeners.listener(port.number, scope.name, _distinct(asked), scope.lifting.lift, options)
        for port, scope in scopes
    )
    ports = tuple(
        PortStatus(port.number, options.bound_port(port.number), scope.lifting.lift.value, scope.lifting.reason)
        for port, scope in scopes
    )
    return Rendered(files, replace(_status(manifests, addresses, options, planned), ports=ports))


def _clusters(
    manifests: Manifests, addresses: Addresses, options: Options, planned: Plan, asked: Mapping[ObjectName, Picker]
) -> Iterator[tuple[Tree, Tree | None]]:
    """Every cluster with its endpoints; None where the cluster holds them itself."""
    for _, pool in sorted(manifests.pools.items()):
        cluster = clusters.pool_cluster(pool, options)
        found = [(item.address, item.port) for item in pool_endpoints(pool, manifests, addresses)]
        yield _eds(cluster, found)
    for service in sorted(_services(planned), key=lambda item: (item.id, item.port)):
        known = manifests.services.get(service.id)
        h2c = (
            any(port.port == service.port and port.app_protocol == "kubernetes.io/h2c" for port in known.ports)
            if known
            else False
        )
        cluster = clusters.service_cluster(names.service_cluster(service.id, service.port), options, h2c=h2c)
        yield _eds(cluster, service_endpoints(manifests, *service.id, service.port, addresses))
    for item in {found.cluster: found for found in asked.values()}.values():
        yield _eds(clusters.picker_cluster(item, options), item.endpoints)
    by_http = (found for found in asked.values() if found.transport is PickerTransport.HTTP)
    for item in {found.http_cluster: found for found in by_http}.values():
        yield _eds(clusters.picker_http_cluster(item, options), item.http_endpoints)


def _scope(port: Port, asked: Mapping[ObjectName, Picker], bases: Mapping[str, str], options: Options) -> Scope:
    lifted = lifting(port, asked, bases, options)
    doors = sorted({item.transport for item in asked.values()})
    return Scope(names.routes(port.number, (lifted.lift, *doors)), asked, lifted, options)


def _distinct(asked: Mapping[ObjectName, Picker]) -> list[Picker]:
    """One picker for each door that is asked."""
    return list({(item.transport, item.cluster): item for item in asked.values()}.values())


def _eds(cluster: Tree, endpoints: Iterable[tuple[str, int]]) -> tuple[Tree, Tree]:
    assignment = clusters.load_assignment(str(cluster["name"]), endpoints)
    return names.typed(names.CLUSTER_TYPE, **cluster), names.typed(names.ENDPOINTS_TYPE, **assignment)


def _services(planned: Plan) -> set[ServicePortRef]:
    """Plain Services that some route sends requests, or copies of them, to."""
    found = set()
    for entry in (entry for port in planned.ports for host in port.hosts for entry in host.entries):
        found |= {backend.target for backend in entry.backends if isinstance(backend.target, ServicePortRef)}
        found |= {
            ServicePortRef(item.backend.id, item.backend.port or 0)
            for item in entry.rule.filters
            if isinstance(item, Mirror) and item.backend.is_service
        }
    return found


def _file(resources: Iterable[Tree]) -> bytes:
    """A discovery response as Envoy reads it from a file."""
    listed = list(resources)
    version = hashlib.blake2b(orjson.dumps(listed), digest_size=8).hexdigest()
    return orjson.dumps({"version_info": version, "resources": listed}, option=orjson.OPT_INDENT_2)


def _status(manifests: Manifests, addresses: Addresses, options: Options, planned: Plan) -> Status:
    return Status(
        planned.gateways,
        planned.routes,
        tuple(
            _pool_status(pool, manifests, addresses, options, planned) for _, pool in sorted(manifests.pools.items())
        ),
    )


def _pool_status(
    pool: InferencePool, manifests: Manifests, addresses: Addresses, options: Options, planned: Plan
) -> PoolStatus:
    found = picker(pool, manifests, addresses, options)
    accepted = Condition("Accepted", True, "Accepted", "Referenced by an HTTPRoute accepted by the parentRef Gateway")
    resolved = (
        found
        if isinstance(found, Condition)
        else Condition("ResolvedRefs", True, "ResolvedRefs", "Referenced ExtensionRef resolved successfully")
    )
    transport, reason = (found.transport.value, found.reason) if isinstance(found, Picker) else ("", "")
    return PoolStatus(
        id=pool.meta.id,
        endpoints=len(pool_endpoints(pool, manifests, addresses)),
        picker=transport,
        picker_reason=reason,
        parents=tuple(
            ParentStatus(gateway, "", (accepted, resolved)) for gateway in planned.pool_parents.get(pool.meta.id, ())
        ),
    )
