"""The configuration of each group of Envoys. Pure.

Where each Gateway has Envoys of its own, a group is those of one Gateway: it is rendered as if there were no other, so
that listeners of two Gateways never meet, and no Envoy is given what another one serves. Otherwise all Envoys are one
group and serve every Gateway.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from controlplane.deployment.parameters import parameters
from controlplane.deployment.placement import Placement, placement
from controlplane.memo import Memo
from controlplane.options import Options
from controlplane.ownership import class_statuses, owned
from controlplane.plan.planning import plan
from controlplane.render import Rendered, render
from controlplane.status.conditions import Condition, GatewayStatus, Status, unmet
from gateway.kube.objects import BackendRef, Gateway, HTTPRoute, Manifests, Mirror, ObjectName
from gateway.kube.resolution.endpoints import Addresses

EVERY = ""  # the only group


@dataclass(frozen=True, slots=True)
class Fleet:
    """What each group is to have, and the status of objects that are part of none. `ready` are groups with Envoys that
    have a configuration, whichever replica of the control plane gave it to them."""

    groups: Mapping[str, Rendered] = field(default_factory=dict)
    rest: Status | None = None
    ready: frozenset[str] = frozenset()


Memos = dict[str, Memo]  # by group


def group_of(gateway: ObjectName) -> str:
    """The name of a Gateway's Envoys, which they have as their node's cluster."""
    return str(gateway)


def fleet(manifests: Manifests, addresses: Addresses, options: Options, memos: Memos) -> Fleet:
    """Render every group. `memos` are those of the rendering before; they are brought up to date."""
    if options.deployment is None:
        return Fleet({EVERY: render(manifests, addresses, options, memos.setdefault(EVERY, Memo()))})
    served = owned(manifests)
    routes = _routes_by_gateway(served)
    parts = {name: _part(gateway, routes.get(name, {}), served) for name, gateway in sorted(served.gateways.items())}
    groups, ready = {}, set()
    for name, part in parts.items():
        group, place = group_of(name), placement(served.gateways[name], manifests, options.deployment)
        at = replace(options, by_class=False, addresses=place.addresses, port_map=place.port_map)
        rendered = render(part, addresses, at, memos.setdefault(group, Memo()))
        groups[group] = replace(rendered, status=_placed(rendered.status, place))
        if place.has_envoys:
            ready.add(group)
    for group in memos.keys() - groups.keys():
        del memos[group]
    return Fleet(groups, _rest(manifests, served, tuple(parts.values()), addresses, options), frozenset(ready))


def _routes_by_gateway(manifests: Manifests) -> Mapping[ObjectName, Mapping[ObjectName, HTTPRoute]]:
    """Those that have a Gateway as a parent, with that parent alone."""
    found: dict[ObjectName, dict[ObjectName, HTTPRoute]] = {}
    for name, route in manifests.routes.items():
        for gateway in {ref.id for ref in route.parents}:
            found.setdefault(gateway, {})[name] = _at(route, gateway)
    return found


def _part(gateway: Gateway, routes: Mapping[ObjectName, HTTPRoute], manifests: Manifests) -> Manifests:
    """A Gateway alone, with its routes and the pools that these name."""
    named = {ref.id for route in routes.values() for ref in _refs(route)}
    return replace(
        manifests,
        gateway_classes={},
        gateways={gateway.meta.id: gateway},
        routes=routes,
        ai_routes={key: each for key, each in manifests.ai_routes.items() if key in routes},
        pools={key: each for key, each in manifests.pools.items() if key in named},
    )


def _rest(
    manifests: Manifests, served: Manifests, parts: tuple[Manifests, ...], addresses: Addresses, options: Options
) -> Status:
    """Of classes, and of what no Gateway has, so that entries of one that is gone go, too."""
    pools = {name for part in parts for name in part.pools}
    routes = {name for part in parts for name in part.routes}
    left = replace(
        served,
        gateways={},
        routes={name: replace(each, parents=()) for name, each in served.routes.items() if name not in routes},
        ai_routes={name: each for name, each in served.ai_routes.items() if name not in routes},
        pools={name: each for name, each in served.pools.items() if name not in pools},
    )
    found = plan(left, addresses, options).status
    return replace(found, classes=class_statuses(manifests, dict(_class_faults(manifests, options))))


def _class_faults(manifests: Manifests, options: Options) -> Iterator[tuple[ObjectName, Condition]]:
    for name, found in manifests.gateway_classes.items():
        wanted = parameters(found.parameters, manifests, options.deployment) if options.deployment else None
        if isinstance(wanted, str):
            yield name, unmet("Accepted", "InvalidParameters", wanted)


def _at(route: HTTPRoute, gateway: ObjectName) -> HTTPRoute:
    parents = tuple(ref for ref in route.parents if ref.id == gateway)
    return route if parents == route.parents else replace(route, parents=parents)


def _refs(route: HTTPRoute) -> Iterator[BackendRef]:
    for rule in route.rules:
        for ref in rule.backends:
            yield ref
            yield from (each.backend for each in ref.filters if isinstance(each, Mirror))
        yield from (each.backend for each in rule.filters if isinstance(each, Mirror))


def _placed(status: Status, place: Placement) -> Status:
    """With what the Gateway's Service and parameters mean for it."""
    if place.fault is None:
        return status
    return replace(status, gateways=tuple(_faulty(each, place.fault) for each in status.gateways))


def _faulty(gateway: GatewayStatus, fault: Condition) -> GatewayStatus:
    conditions = tuple(fault if each.type == fault.type and each.is_true else each for each in gateway.conditions)
    if fault.type != "Programmed":
        invalid = unmet("Programmed", "Invalid", fault.message)
        conditions = tuple(invalid if each.type == "Programmed" and each.is_true else each for each in conditions)
    return replace(gateway, conditions=conditions, addresses=())
