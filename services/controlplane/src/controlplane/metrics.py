"""What an operator counts at the control plane."""

from collections.abc import Iterable

from controlplane.status.conditions import Status
from gateway.service.metrics import Registry


class Metrics:
    """Prometheus figures; labels come from kinds of files and of objects, never from names that a person chose."""

    def __init__(self) -> None:
        registry = self.registry = Registry()
        self._files = registry.counter("controlplane_files_written_total", "Files replaced, by kind.", ("kind",))
        self._refused = registry.counter(
            "controlplane_manifests_refused_total", "Readings of the manifests with problems."
        )
        self._problems = registry.gauge("controlplane_manifest_problems", "Problems in the manifests now; 0 is good.")
        self._objects = registry.gauge("controlplane_objects", "Objects that are served, by kind.", ("kind",))
        self._endpoints = registry.gauge("controlplane_pool_endpoints", "Endpoints of all pools.")

    def published(self, files: Iterable[str], status: Status) -> None:
        for name in files:
            self._files.add((name[:3],))
        self._objects.set(len(status.gateways), ("gateway",))
        self._objects.set(len(status.routes), ("route",))
        self._objects.set(len(status.pools), ("pool",))
        self._endpoints.set(sum(pool.endpoints for pool in status.pools))

    def problems(self, count: int) -> None:
        self._problems.set(count)
        if count:
            self._refused.add()
