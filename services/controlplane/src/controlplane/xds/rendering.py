"""A plan becomes a snapshot: the resources of all types, in a fixed order. Pure."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVarTuple

from controlplane.memo import Memo
from controlplane.options import Options, PickerTransport
from controlplane.plan.entries import VirtualHost
from controlplane.plan.lifting import NOT_LIFTED, Lifting
from controlplane.plan.pickers import Picker
from controlplane.plan.planning import Plan
from controlplane.xds.resources import (
    access_logs,
    clusters,
    names,
    picker_clusters,
    protection,
    rate_limits,
    secrets,
    share_clusters,
    stored,
)
from controlplane.xds.resources.listeners import listener
from controlplane.xds.resources.names import Tree
from controlplane.xds.resources.routes import route_configuration
from controlplane.xds.resources.scope import Scope
from controlplane.xds.resources.takeover_listeners import takeover_listener
from controlplane.xds.snapshot import Resource, Snapshot, collected, resource_of
from gateway.kube.resolution.endpoints import HostPort

Inputs = TypeVarTuple("Inputs")

_Served = tuple[Resource, Resource]  # a cluster and its endpoints


def snapshot(plan: Plan, options: Options, memo: Memo | None = None) -> Snapshot:
    """Everything that Envoy is to have for a plan. Each resource has its place in the memo."""
    made = _Resources(memo or Memo())
    pickers = plan.pickers
    served = list(_clusters(plan, pickers.values(), options, made))
    plain = frozenset(item.pool.meta.id for item in plan.pools if item.is_plain)
    of_all = Scope("", pickers, NOT_LIFTED, options, plain=plain)
    counted = replace(of_all, quotas=plan.quotas)
    scopes = [(port, _scope(names.listener(port.number), counted, port.lifting, port.hosts)) for port in plan.ports]
    takeovers = [(each, _scope(names.takeover(each.name), of_all, NOT_LIFTED, ())) for each in plan.takeovers]
    distinct = _distinct(pickers.values())
    found = [cluster for cluster, _ in served]
    if options.bbr is not None:  # also where no listener asks it any more: connections made before still do
        found.append(made.of(names.BBR_CLUSTER, clusters.bbr_cluster, *options.bbr, options.bbr_workers))
    if any(stored.need_cluster(port.hosts, scope) for port, scope in scopes):
        found.append(made.of(names.STORED_CLUSTER, stored.cluster))
    key_sets = protection.remote_keys(host for port in plan.ports for host in port.hosts)
    found += [made.of(name, clusters.key_set_cluster, keys.uri, options) for name, keys in sorted(key_sets.items())]
    if plan.quotas is not None:
        found.append(made.of(names.QUOTA_CLUSTER, rate_limits.cluster, options))
    if options.tracing_collector is not None:
        found.append(made.of(names.COLLECTOR_CLUSTER, clusters.collector_cluster, *options.tracing_collector))
    return collected({
        names.SECRET_TYPE: [
            *(made.of(each.id, secrets.secret, each) for each in plan.certificates),
            *(made.of(names.credential(each), secrets.key, each) for each in plan.credentials),
        ],
        names.ENDPOINTS_TYPE: [assignment for _, assignment in served],
        names.CLUSTER_TYPE: found,
        names.ROUTES_TYPE: [
            *(made.of(port.number, route_configuration, port.hosts, scope) for port, scope in scopes),
            *(made.of(each.name, route_configuration, (each.host,), scope) for each, scope in takeovers),
        ],
        names.LISTENER_TYPE: [
            *(made.of(port.number, listener, port, scope.name, distinct, options) for port, scope in scopes),
            *(made.of(each.name, takeover_listener, each.name, scope.name, distinct, options)
              for each, scope in takeovers),
        ],
    })  # fmt: skip


class _Resources:
    """Makes resources, each anew only where what it is written from has changed."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo

    def of(self, key: Hashable, write: Callable[[*Inputs], Tree], *inputs: *Inputs) -> Resource:
        """What `write` makes of the inputs. `key` tells it from others of the same writer."""
        return self._memo.result((write, key), lambda *given: resource_of(write(*given)), *inputs)


def _clusters(plan: Plan, pickers: Collection[Picker], options: Options, made: _Resources) -> Iterator[_Served]:
    """Every cluster that has an assignment of its own, with it."""
    for pool in plan.pools:
        cluster = made.of(pool.pool.meta.id, clusters.pool_cluster, pool, options)
        yield cluster, made.of(cluster.name, clusters.pool_assignment, cluster.name, pool.groups)
    for service in plan.services:
        cluster = made.of(service.ref, clusters.service_cluster, service, options)
        yield cluster, made.of(cluster.name, clusters.service_assignment, cluster.name, service.group)
    for share in plan.shares:
        cluster = made.of(share.name, share_clusters.share_cluster, share, options)
        yield cluster, made.of(share.name, share_clusters.share_assignment, share)
    for name, picker in {names.picker_cluster(item): item for item in pickers}.items():
        yield _plain(made.of(name, picker_clusters.picker_cluster, picker, options), picker.endpoints, made)
    by_http = (item for item in pickers if item.transport is PickerTransport.HTTP)
    for name, picker in {names.picker_http_cluster(item): item for item in by_http}.items():
        yield _plain(made.of(name, picker_clusters.picker_http_cluster, picker, options), picker.http_endpoints, made)
    by_log = (item for item in pickers if access_logs.needs_shares(item, options))
    for picker in {names.picker_cluster(item): item for item in by_log}.values():
        yield from _logs(picker, options, made)


def _logs(picker: Picker, options: Options, made: _Resources) -> Iterator[_Served]:
    for share in range(access_logs.LOG_SHARES):
        name = names.picker_log_cluster(picker, share)
        cluster = made.of(name, picker_clusters.picker_log_cluster, picker, share, options)
        yield _plain(cluster, sorted(picker.endpoints)[share :: access_logs.LOG_SHARES], made)


def _plain(cluster: Resource, endpoints: Sequence[HostPort], made: _Resources) -> _Served:
    return cluster, made.of(cluster.name, clusters.assignment, cluster.name, endpoints)


def _scope(listener: str, of_all: Scope, lifting: Lifting, hosts: Sequence[VirtualHost]) -> Scope:
    """That of one listener."""
    stages = [stage for stage in protection.Stage if protection.filters(stage, hosts)]
    transports = sorted({picker.transport for picker in of_all.pickers.values()})
    counted = () if of_all.quotas is None else ("quotas",)
    parts = (lifting.lift, *counted, *transports, *stages)
    return replace(of_all, name=names.routes(listener, parts), lifting=lifting)


def _distinct(pickers: Iterable[Picker]) -> list[Picker]:
    """One picker for each transport of each Service."""
    return list({(picker.transport, names.picker_cluster(picker)): picker for picker in pickers}.values())
