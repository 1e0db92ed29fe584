"""A plan becomes a snapshot: the resources of all types, in a fixed order. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from controlplane.options import Options, PickerTransport
from controlplane.plan.pickers import Picker
from controlplane.plan.planning import Plan, Port
from controlplane.xds.resources import clusters, names, picker_clusters, secrets
from controlplane.xds.resources.listeners import listener
from controlplane.xds.resources.names import Tree
from controlplane.xds.resources.routes import route_configuration
from controlplane.xds.resources.scope import Scope
from controlplane.xds.snapshot import Snapshot, snapshot_of
from gateway.kube.objects import ObjectName
from gateway.kube.resolution.endpoints import HostPort

_Cluster = tuple[Tree, Sequence[HostPort]]


def snapshot(plan: Plan, options: Options) -> Snapshot:
    """Everything that Envoy is to have for a plan."""
    pickers = plan.pickers
    served = list(_clusters(plan, pickers.values(), options))
    scopes = [(port, _scope(port, pickers, options)) for port in plan.ports]
    distinct = _distinct(pickers.values())
    found = [cluster for cluster, _ in served]
    if options.bbr is not None:  # also where no listener asks it any more: connections made before still do
        found.append(clusters.bbr_cluster(*options.bbr))
    certificates = {each.id: each for port in plan.ports for host in port.tls for each in host.certificates}
    return snapshot_of({
        names.SECRET_TYPE: [secrets.secret(each) for _, each in sorted(certificates.items())],
        names.ENDPOINTS_TYPE: [
            clusters.assignment(str(cluster["name"]), endpoints) for cluster, endpoints in served
        ],
        names.CLUSTER_TYPE: found,
        names.ROUTES_TYPE: [route_configuration(port, scope) for port, scope in scopes],
        names.LISTENER_TYPE: [listener(port, scope.name, distinct, options) for port, scope in scopes],
    })  # fmt: skip


def _clusters(plan: Plan, pickers: Iterable[Picker], options: Options) -> Iterator[_Cluster]:
    """Every cluster that has an assignment of its own, with its endpoints."""
    for pool in plan.pools:
        yield clusters.pool_cluster(pool, options), pool.endpoints
    for service in plan.services:
        yield clusters.service_cluster(service, options), service.endpoints
    for picker in {names.picker_cluster(item): item for item in pickers}.values():
        yield picker_clusters.picker_cluster(picker, options), picker.endpoints
    by_http = (item for item in pickers if item.transport is PickerTransport.HTTP)
    for picker in {names.picker_http_cluster(item): item for item in by_http}.values():
        yield picker_clusters.picker_http_cluster(picker, options), picker.http_endpoints


def _scope(port: Port, pickers: Mapping[ObjectName, Picker], options: Options) -> Scope:
    transports = sorted({picker.transport for picker in pickers.values()})
    name = names.routes(port.number, (port.lifting.lift, *transports))
    return Scope(name, pickers, port.lifting, options)


def _distinct(pickers: Iterable[Picker]) -> list[Picker]:
    """One picker for each transport of each Service."""
    return list({(picker.transport, names.picker_cluster(picker)): picker for picker in pickers}.values())
