"""The hosts of each port, and the order in which rules are tried on a host, by the Gateway API. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from controlplane.plan import hosts
from controlplane.plan.backends import Backends, Mirrors
from controlplane.plan.entries import Attachment, Entry, VirtualHost
from controlplane.plan.listeners import Listeners, served
from controlplane.plan.restrictions import Restrictions
from gateway.kube.objects import Listener, PathType, RouteMatch, overridden
from gateway.wire import protocol

_PATH_ORDER: Final = {PathType.EXACT: 0, PathType.REGEX: 1, PathType.PREFIX: 2}


@dataclass(frozen=True, slots=True)
class _Attached:
    """A listener with the entries that one route brings to it."""

    listener: Listener
    entries: tuple[Entry, ...]


def hosts_by_port(
    listeners: Listeners, attachments: Sequence[Attachment], backends: Backends, mirrors: Mirrors, kept: Restrictions
) -> tuple[tuple[int, tuple[VirtualHost, ...]], ...]:
    """The hosts of every port that is served."""
    attached = [
        _Attached(item.listener, tuple(_entries(item, backends, mirrors, kept)))
        for item in attachments
        if listeners[item.gateway.meta.id, item.listener.name].is_served
    ]
    return tuple(
        (
            port,
            tuple(
                _virtual_hosts(
                    [item.listener for item in found], [each for each in attached if each.listener.port == port]
                )
            ),
        )
        for port, found in served(listeners).items()
    )


def _virtual_hosts(listeners: list[Listener], attached: list[_Attached]) -> Iterator[VirtualHost]:
    """One per host name of a listener or a route. A host belongs to its most specific listener alone, and takes there
    the rules of every route whose own host name covers it, the most specific first."""
    names = {item.hostname for item in listeners} | {entry.hostname for item in attached for entry in item.entries}
    for host in sorted(names, key=hosts.specificity):
        owner = min((item.hostname for item in listeners if hosts.covers(item.hostname, host)), key=hosts.specificity)
        entries = (entry for item in attached if item.listener.hostname == owner for entry in item.entries)
        found: dict[str, Entry] = {}
        for entry in entries:
            known = found.get(entry.name + entry.hostname)  # the same rule through another listener of the port
            if hosts.covers(entry.hostname, host):
                found[entry.name + entry.hostname] = entry if known is None else _stricter(known, entry)
        yield VirtualHost(host, tuple(sorted(found.values(), key=_precedence)))


def _stricter(one: Entry, other: Entry) -> Entry:
    """Of one rule behind two listeners that share a port, what keeps more out. Of two different checks neither is."""
    if one.is_restricted or other.is_restricted:
        return one if one.is_restricted else other
    if one.protection is None or one.protection == other.protection:
        return other
    return one if other.protection is None else replace(one, is_restricted=True)


def _entries(attachment: Attachment, backends: Backends, mirrors: Mirrors, kept: Restrictions) -> Iterator[Entry]:
    route, gateway = attachment.route, attachment.gateway.meta.id
    costs = () if route.costs is None else overridden(attachment.gateway.costs, route.costs)
    for hostname in attachment.hostnames:
        for rule_index, rule in enumerate(route.rules):
            restriction = kept.of("Gateway", gateway, attachment.listener.name) or kept.of(
                "HTTPRoute", route.meta.id, rule.name
            )
            for match_index, match in enumerate(rule.matches):
                yield Entry(
                    route=route,
                    rule_index=rule_index,
                    match_index=match_index,
                    hostname=hostname,
                    match=_by_model(match),
                    rule=rule,
                    backends=backends[route.meta.id, rule_index],
                    is_restricted=bool(restriction),
                    mirrors=mirrors.get((route.meta.id, rule_index), ()),
                    costs=costs,
                    protection=kept.protection(gateway, attachment.listener.name, route.meta.id, rule.name),
                )


def _by_model(match: RouteMatch) -> RouteMatch:
    """A match on the model under any of its header's names is one on the header that is lifted."""
    if not any(header.name in protocol.MODEL_NAME_ALIASES for header in match.headers):
        return match
    named = (
        replace(header, name=protocol.MODEL_NAME) if header.name in protocol.MODEL_NAME_ALIASES else header
        for header in match.headers
    )
    return replace(match, headers=tuple(dict.fromkeys(named)))


def _precedence(entry: Entry) -> tuple[object, ...]:
    """The order of the Gateway API: host, exact path, longest prefix, method, headers, query, age, name, order."""
    match, meta = entry.match, entry.route.meta
    return (
        hosts.specificity(entry.hostname),
        _PATH_ORDER[match.path.type],
        -len(match.path.value.rstrip("/")),
        not match.method,
        -len(match.headers),
        -len(match.query),
        meta.created or "~",  # without a time stamp: younger than all that have one
        meta.id,
        entry.rule_index,
        entry.match_index,
    )
