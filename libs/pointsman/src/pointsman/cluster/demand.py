"""Which pools, Services and AIServiceBackends have no server that is known, so that one must run here. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import (
    SERVED_SCHEMA,
    SERVICE_NAME_LABEL,
    AIServiceBackend,
    Backend,
    InferencePool,
    LabelSelector,
    Manifests,
    ObjectName,
    ServicePort,
)
from gateway.kube.resolution.endpoints import pool_pods, pool_slices, service_slices

DEFAULT_PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class Demand:
    """Servers are wanted whose labels match, on these ports. A name among the ports is one of the container's."""

    kind: str
    id: ObjectName
    selector: LabelSelector
    ports: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_of_pool(self) -> bool:
        return self.kind == "InferencePool"


def demands(manifests: Manifests) -> tuple[Demand, ...]:
    """Pools without an endpoint, and Services without one that routes or AIServiceBackends lead to."""
    return (*_of_pools(manifests), *_of_services(manifests))


def has_ai_backends(demand: Demand, manifests: Manifests) -> bool:
    """Whether it selects AIServiceBackends: then those are its servers."""
    return any(
        name.namespace == demand.id.namespace
        and not found.backend.is_pool
        and demand.selector.matches(found.meta.labels)
        for name, found in manifests.ai_backends.items()
    )


def unserved_ai_backends(
    manifests: Manifests, reachable: Mapping[ObjectName, bool], served: frozenset[ObjectName]
) -> tuple[AIServiceBackend, ...]:
    """Those that lead nowhere. `reachable` says it of each Backend, `served` are the Services that have a server."""
    return tuple(
        found
        for found in manifests.ai_backends.values()
        if found.schema == SERVED_SCHEMA and not found.backend.is_pool and not _leads(found, reachable, served)
    )


def backends_in_use(manifests: Manifests) -> Mapping[ObjectName, Backend]:
    """Those that AIServiceBackends lead to."""
    wanted = {found.backend.id for found in manifests.ai_backends.values() if found.backend.kind == "Backend"}
    return {name: found for name, found in manifests.backends.items() if name in wanted}


def _leads(found: AIServiceBackend, reachable: Mapping[ObjectName, bool], served: frozenset[ObjectName]) -> bool:
    name = found.backend.id
    return reachable.get(name, False) if found.backend.kind == "Backend" else name in served


def served_services(manifests: Manifests) -> frozenset[ObjectName]:
    """Services whose servers are known."""
    labelled = (
        ObjectName(piece.meta.id.namespace, piece.meta.labels[SERVICE_NAME_LABEL])
        for piece in manifests.slices.values()
        if SERVICE_NAME_LABEL in piece.meta.labels
    )
    return frozenset((*labelled, *(name for name in manifests.services if service_slices(manifests, *name))))


def _of_pools(manifests: Manifests) -> Iterator[Demand]:
    for name, pool in sorted(manifests.pools.items()):
        if not _has_servers(pool, manifests):
            yield Demand("InferencePool", name, pool.selector, pool.target_ports)


def _has_servers(pool: InferencePool, manifests: Manifests) -> bool:
    return bool(pool_slices(pool, manifests)) or any(found.addresses for found in pool_pods(pool, manifests))


def _of_services(manifests: Manifests) -> Iterator[Demand]:
    refs = (ref for route in manifests.routes.values() for rule in route.rules for ref in rule.backends)
    wanted = {ref.id for ref in (*refs, *(found.backend for found in manifests.ai_backends.values())) if ref.is_service}
    for name in sorted(wanted - served_services(manifests)):
        service = manifests.services.get(name)
        if service is not None and service.selector:
            ports = tuple(map(_target, service.ports))
            yield Demand("Service", name, LabelSelector(service.selector), ports)


def _target(port: ServicePort) -> int | str:
    return port.target_port or port.port
