"""What Envoy's own figures say about a configuration that it reads from files. Pure.

Envoy acknowledges no file. Each of its subscriptions has the version that it took last and a count of what it rejected:
a rejection since the last version that was taken whole is one of this configuration.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from controlplane.status.uptake import Refusal, Uptake
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Snapshot

Figures = Mapping[str, str | int]  # by their names in Envoy's statistics

FILTER: Final = r"\.(version_text|update_rejected)$"
NO_FIGURES: Final[Figures] = MappingProxyType({})


def uptake(snapshot: Snapshot, node: str, figures: Figures | None, before: Figures) -> Uptake:
    """What a proxy made of a snapshot by its figures, None if it cannot be asked; `before` are the last good ones."""
    if figures is None:
        return Uptake(snapshot.version)
    open_ones = [name for name, version in _subscriptions(snapshot) if figures.get(f"{name}.version_text") != version]
    refused = [name for name in open_ones if _count(figures, name) > _count(before, name)]
    if refused:
        refusals = tuple(Refusal(node, f"update_rejected of {name} has grown") for name in refused)
        return Uptake(snapshot.version, refusals=refusals)
    return Uptake(snapshot.version, waiting=(node,)) if open_ones else Uptake(snapshot.version, taken=(node,))


def _count(figures: Figures, name: str) -> int:
    return int(figures.get(f"{name}.update_rejected", 0))


def _subscriptions(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What Envoy calls each subscription, with the version that it is to take."""
    versions = snapshot.versions
    if names.CLUSTER_TYPE in versions:
        yield "cluster_manager.cds", versions[names.CLUSTER_TYPE]
    if names.LISTENER_TYPE in versions:
        yield "listener_manager.lds", versions[names.LISTENER_TYPE]
    for item in snapshot.of(names.ENDPOINTS_TYPE):
        yield f"cluster.{item.name}", item.version
    for listener, routes in zip(snapshot.of(names.LISTENER_TYPE), snapshot.of(names.ROUTES_TYPE), strict=True):
        yield f"http.{listener.name}.rds.{routes.name}", routes.version
