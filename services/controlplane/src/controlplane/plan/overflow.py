"""Routes for tenants whose requests may not leave for external providers. Pure.

The router marks such requests. Ahead of each entry whose pool falls back to providers stands one for marked requests,
with the same backends and only those tiers that are pools.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from controlplane.plan.entries import Backend, Entry, VirtualHost
from gateway.kube.objects import InferencePool, Manifests, ValueMatch
from gateway.wire.protocol import NO_OVERFLOW, OVERFLOW

_MARK = ValueMatch(OVERFLOW, NO_OVERFLOW)
_OWN = "_within"  # ends the name of a cluster without the tiers of providers


def is_limited(manifests: Manifests) -> bool:
    """Whether there is any such tenant."""
    lists = (found.tenants for found in manifests.config_maps.values() if found.tenants is not None)
    return any(not tenant.may_overflow for listed in lists for tenant in listed.tenants)


def with_limits(
    by_port: Sequence[tuple[int, Sequence[VirtualHost]]],
) -> tuple[tuple[int, tuple[VirtualHost, ...]], ...]:
    """The hosts of every port with the further entries."""
    return tuple(
        (number, tuple(replace(host, entries=tuple(_entries(host))) for host in hosts)) for number, hosts in by_port
    )


def _entries(host: VirtualHost) -> Iterator[Entry]:
    for entry in host.entries:
        kept = tuple(map(_within, entry.backends))
        if kept != entry.backends:
            match = replace(entry.match, headers=(*entry.match.headers, _MARK))
            yield replace(entry, match=match, backends=kept)
        yield entry


def _within(backend: Backend) -> Backend:
    """A backend that is a pool, without the tiers that are not all pools."""
    lower = tuple(tier for tier in backend.lower if all(isinstance(each.target, InferencePool) for each in tier))
    if lower == backend.lower or not isinstance(backend.target, InferencePool):
        return backend
    return replace(backend, lower=lower, own=f"{backend.own}{_OWN}")
