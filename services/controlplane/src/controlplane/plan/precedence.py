"""The hosts of each port, and the order in which rules are tried on a host, by the Gateway API. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from controlplane.plan import hosts
from controlplane.plan.attachment import SERVED_PROTOCOLS
from controlplane.plan.backends import Backends
from controlplane.plan.entries import Attachment, Entry, VirtualHost
from gateway.kube.objects import HTTPRoute, Listener, Manifests, PathType

_PATH_ORDER: Final = {PathType.EXACT: 0, PathType.REGEX: 1, PathType.PREFIX: 2}


def hosts_by_port(
    manifests: Manifests, attachments: Sequence[Attachment], backends: Backends
) -> tuple[tuple[int, tuple[VirtualHost, ...]], ...]:
    """Listeners of several Gateways on one port share it: one Envoy serves them all."""
    listeners: dict[int, list[Listener]] = {}
    for gateway in manifests.gateways.values():
        for listener in gateway.listeners:
            if listener.protocol in SERVED_PROTOCOLS:
                listeners.setdefault(listener.port, []).append(listener)
    return tuple(
        (port, tuple(_virtual_hosts(found, [item for item in attachments if item.listener.port == port], backends)))
        for port, found in sorted(listeners.items())
    )


def _virtual_hosts(
    listeners: list[Listener], attachments: list[Attachment], backends: Backends
) -> Iterator[VirtualHost]:
    """One per host name of a listener or a route. A host belongs to its most specific listener alone, and takes there
    the rules of every route whose own host name covers it, the most specific first."""
    names = {listener.hostname for listener in listeners} | {name for item in attachments for name in item.hostnames}
    for host in sorted(names, key=hosts.specificity):
        owner = min((item.hostname for item in listeners if hosts.covers(item.hostname, host)), key=hosts.specificity)
        entries = {
            entry.name + entry.hostname: entry
            for item in attachments
            if item.listener.hostname == owner
            for name in item.hostnames
            if hosts.covers(name, host)
            for entry in _entries(item.route, name, backends)
        }
        yield VirtualHost(host, tuple(sorted(entries.values(), key=_precedence)))


def _entries(route: HTTPRoute, hostname: str, backends: Backends) -> Iterator[Entry]:
    for rule_index, rule in enumerate(route.rules):
        for match_index, match in enumerate(rule.matches):
            yield Entry(
                route=route,
                rule_index=rule_index,
                match_index=match_index,
                hostname=hostname,
                match=match,
                rule=rule,
                backends=backends[route.meta.id, rule_index],
            )


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
