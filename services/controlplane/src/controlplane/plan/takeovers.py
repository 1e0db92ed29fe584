"""Pools that take over from another backend of their rule, each asked for through a listener within Envoy. Pure.

Envoy asks one picker about a request: that of the backend which the route chose. So that a pool which takes over is
picked by its own picker, a request goes there through an internal listener, as one that has come anew.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from controlplane.plan.entries import Backend, Entry, VirtualHost
from gateway.kube.objects import NO_CHANGES, InferencePool, ObjectName, RouteMatch, RouteRule, Timeouts


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a listener within Envoy serves: every request, by one pool. `name` is that of the pool's reference."""

    name: str
    host: VirtualHost


def planned_takeovers(entries: Iterable[Entry], picked: Collection[ObjectName]) -> tuple[Takeover, ...]:
    """One for each reference below another to a pool that has a picker (`picked`), by name."""
    found = {
        backend.own: Takeover(backend.own, VirtualHost("", (_entry(entry, backend),)))
        for entry in entries
        for first in entry.backends
        for tier in first.lower
        for backend in tier
        if isinstance(backend.target, InferencePool) and backend.target.meta.id in picked
    }
    return tuple(takeover for _, takeover in sorted(found.items()))


def _entry(entry: Entry, backend: Backend) -> Entry:
    """The rule for one backend alone. What else the rule does was done before."""
    rule = RouteRule(
        name="",
        matches=(RouteMatch(),),
        filters=(),
        backends=(),
        timeouts=Timeouts(backend_request=entry.rule.timeouts.backend_request),
        retry=entry.rule.retry,
    )
    alone = replace(
        backend, weight=1, filters=(), own="" if backend.changes == NO_CHANGES else f"{backend.own}_takeover"
    )
    return replace(
        entry, hostname="", match=RouteMatch(), rule=rule, backends=(alone,), mirrors=(), costs=(), protection=None
    )
