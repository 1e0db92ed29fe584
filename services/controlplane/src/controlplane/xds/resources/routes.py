"""Envoy's route configuration: the virtual hosts of a listener, each with its routes in the order of trial. Pure."""

from collections.abc import Iterator, Sequence

from controlplane.plan import hosts
from controlplane.plan.entries import Entry, VirtualHost
from controlplane.xds.resources import (
    explaining,
    modifiers,
    names,
    picker_filters,
    protection,
    retries,
    rules,
    stored,
    unread,
)
from controlplane.xds.resources.names import Tree
from controlplane.xds.resources.scope import Scope


def route_configuration(found: Sequence[VirtualHost], scope: Scope) -> Tree:
    """Everything that one Envoy listener routes."""
    served = {host.hostname: host for host in found}
    served.setdefault("", VirtualHost("", ()))  # every other host: 404 in the right shape
    return names.resource(
        names.ROUTES_TYPE,
        name=scope.name,
        ignore_port_in_host_matching=True,
        validate_clusters=False,
        **retries.on_configuration(),
        virtual_hosts=[_virtual_host(host, scope) for host in served.values()],
    )


def _virtual_host(host: VirtualHost, scope: Scope) -> Tree:
    filters = picker_filters.on_host(
        [scope.pickers[pool.meta.id] for pool in host.pools if pool.meta.id in scope.pickers]
    )
    settings = filters | protection.on_host(host)
    return {
        "name": hosts.domain(host.hostname),
        "domains": [hosts.domain(host.hostname)],
        "request_body_buffer_limit": scope.options.body_limit,
        **retries.on_host(),
        **({"typed_per_filter_config": settings} if settings else {}),
        **protection.headers(host.protection),
        "routes": [
            *(explaining.verdicts() if filters else []),
            *explaining.models(host, scope),
            *explaining.health(host, scope),
            *(route for entry in host.entries for route in _served(entry, host, scope)),
            *stored.routes(host, scope),
            *explaining.misses(host, scope),
            explaining.unrouted(),
            unread.tunnels(),
        ],
    }


def _served(entry: Entry, host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    routes = rules.routes(entry, host, scope)
    if scope.lifting.sees_all or not unread.needs_no_model(entry, host):
        return routes
    return (modifiers.with_filters(route, unread.settings()) for route in routes)
