"""Objects become one `Plan`: which ports serve which hosts by which rules, the pools behind them, and every condition.

Pure: the same objects, addresses and options always give the same plan. It knows the Gateway API and the Inference
Extension, and nothing of Envoy.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controlplane.memo import Memo
from controlplane.options import Options
from controlplane.plan.acceptance import with_rules
from controlplane.plan.attachment import attach
from controlplane.plan.backends import Backends, Mirrors, all_backends, all_mirrors, resolved_refs, warnings
from controlplane.plan.certificates import Certificate
from controlplane.plan.conditions import ai_route_statuses, gateway_status, pool_status, pool_warnings
from controlplane.plan.connections import Connection
from controlplane.plan.credentials import Credential
from controlplane.plan.entries import Attachment, Entry, VirtualHost
from controlplane.plan.lifting import Lifting, lifting
from controlplane.plan.listeners import Listeners, TlsHost, planned_listeners, served, tls_hosts
from controlplane.plan.overflow import is_limited, with_limits
from controlplane.plan.pickers import Picker
from controlplane.plan.pools import PlannedPool, parents, planned_pools
from controlplane.plan.precedence import hosts_by_port
from controlplane.plan.quotas import PlannedQuotas, planned_quotas, quota_warnings
from controlplane.plan.restrictions import Restrictions, restrictions
from controlplane.plan.services import PlannedService, planned_services
from controlplane.plan.shares import PlannedShare, planned_shares
from controlplane.plan.takeovers import Takeover, planned_takeovers
from controlplane.status.conditions import ParentStatus, PortStatus, RouteStatus, Status
from gateway.kube.objects import Manifests, ObjectName
from gateway.kube.resolution.base_models import base_models
from gateway.kube.resolution.endpoints import Addresses, reachable_services


@dataclass(frozen=True, slots=True)
class Port:
    """A port that listeners name, the one that is bound for it, and what is served there."""

    number: int
    bound: int
    hosts: tuple[VirtualHost, ...]
    lifting: Lifting
    tls: tuple[TlsHost, ...] = ()  # empty: plaintext
    is_counted: bool = False  # by quotas


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be served, and what every object's status says."""

    ports: tuple[Port, ...]
    pools: tuple[PlannedPool, ...]
    services: tuple[PlannedService, ...]
    shares: tuple[PlannedShare, ...]
    takeovers: tuple[Takeover, ...]
    quotas: PlannedQuotas | None
    status: Status

    @property
    def pickers(self) -> Mapping[ObjectName, Picker]:
        """The picker of every pool that asks one."""
        return {item.pool.meta.id: item.picker for item in self.pools if item.picker is not None}

    @property
    def connections(self) -> tuple[Connection, ...]:
        """How every backend is spoken to."""
        groups = (*(group for pool in self.pools for group in pool.groups), *(item.group for item in self.services))
        return tuple(group.connection for group in groups)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Those that listeners show to clients, and the gateway to backends and pickers, by name."""
        shown = (each for port in self.ports for host in port.tls for each in host.certificates)
        orders = (*(item.tls for item in self.connections), *(item.tls for item in self.pickers.values()))
        found = {each.id: each for each in (*shown, *(item.certificate for item in orders if item)) if each}
        return tuple(each for _, each in sorted(found.items()))

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """The keys of all backends, each once."""
        found = (item.authentication.own for item in self.connections)
        return tuple(dict.fromkeys(each for each in found if each is not None))


def plan(manifests: Manifests, addresses: Addresses, options: Options, memo: Memo | None = None) -> Plan:
    """Work out everything at once. What follows from thousands of routes has its place in the memo."""
    memo = memo or Memo()
    listeners = planned_listeners(manifests, options)
    quotas = planned_quotas(manifests, options)
    kept, policies = restrictions(manifests, options)
    endpointless = manifests.without("slices", "pods")
    reachable = reachable_services(manifests, addresses)
    backends = memo.result(all_backends, all_backends, endpointless, reachable, kept)
    mirrors = memo.result(all_mirrors, all_mirrors, endpointless, reachable, kept)
    attached_to = manifests.only("gateways", "namespaces", "routes")
    attachments, routes = memo.result(_attached, _attached, attached_to, listeners, backends, mirrors, kept)
    pools = planned_pools(manifests, addresses, options)
    pickers = {item.pool.meta.id: item.picker for item in pools if item.picker is not None}
    bases = base_models(manifests).names
    has_tenants = any(found.tenants is not None for found in manifests.config_maps.values())
    by_port = memo.result(hosts_by_port, hosts_by_port, listeners, attachments, backends, mirrors, kept)
    if is_limited(manifests):
        by_port = memo.result(with_limits, with_limits, by_port)
    ports = tuple(
        Port(
            number=number,
            bound=options.bound_port(number),
            hosts=hosts,
            lifting=lifting(hosts, pickers, bases, options, is_counted=quotas is not None, has_tenants=has_tenants),
            tls=tls_hosts(served(listeners)[number]),
            is_counted=quotas is not None,
        )
        for number, hosts in by_port
    )
    services = planned_services(_entries(ports), manifests, addresses)
    takeovers = planned_takeovers(_entries(ports), pickers)
    taking_over = (entry for each in takeovers for entry in each.host.entries)
    workloads = manifests.workloads.values()
    reached = memo.result(parents, parents, attachments, backends)
    return Plan(
        ports=ports,
        pools=pools,
        services=services,
        shares=planned_shares((*_entries(ports), *taking_over), pools, services),
        takeovers=takeovers,
        quotas=quotas,
        status=Status(
            gateways=tuple(
                gateway_status(gateway, listeners, attachments, options.served_at)
                for _, gateway in sorted(manifests.gateways.items())
            ),
            routes=routes,
            pools=tuple(pool_status(item, reached.get(item.pool.meta.id, ()), workloads) for item in pools),
            policies=policies,
            ai_routes=tuple(ai_route_statuses(manifests, routes)),
            ports=tuple(_port_status(port) for port in ports),
            warnings=(
                *memo.result(warnings, warnings, backends, manifests.only("routes")),
                *pool_warnings(pools, reached, workloads),
                *quota_warnings(manifests, options),
                *(_tenant_warnings(ports, options) if has_tenants else ()),
            ),
        ),
    )


def _attached(
    manifests: Manifests, listeners: Listeners, backends: Backends, mirrors: Mirrors, kept: Restrictions
) -> tuple[list[Attachment], tuple[RouteStatus, ...]]:
    attachments: list[Attachment] = []
    statuses = []
    for _, route in sorted(manifests.routes.items()):
        resolved = resolved_refs(backends, mirrors, route)
        found = []
        for ref in route.parents:
            served, accepted = attach(manifests, listeners, route, ref)
            attachments.extend(served)
            first, *more = with_rules(accepted, route, ref, kept)
            found.append(ParentStatus(ref.id, ref.section_name, (first, resolved, *more), ref.port))
        statuses.append(RouteStatus(route.meta.id, tuple(found), route.meta.generation, route.hostnames))
    return attachments, tuple(statuses)


def _tenant_warnings(ports: Sequence[Port], options: Options) -> Iterator[str]:
    """Where tenants do not apply, although objects name them."""
    if options.bbr is None:
        yield "ConfigMaps name tenants, and there is no router to judge callers"
    for port in ports:
        for host in port.hosts:
            late = {str(each.protection.policy) for each in host.entries if each.protection and not host.protection}
            if late:
                yield (
                    f"port {port.number}, host {host.hostname or '*'}: its routes differ in their policies "
                    f"({', '.join(sorted(late))}), so the router does not know their clients: tenants do not apply"
                )


def _entries(ports: tuple[Port, ...]) -> Iterator[Entry]:
    return (entry for port in ports for host in port.hosts for entry in host.entries)


def _port_status(port: Port) -> PortStatus:
    return PortStatus(port.number, port.bound, port.lifting.lift.value, port.lifting.reason)
