"""What an operator counts at the control plane."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from controlplane.status.conditions import Status


class Metrics:
    """Prometheus figures; labels come from kinds of files and of objects, never from names that a person chose."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._files = Counter(
            "controlplane_files_written_total", "Files replaced, by kind.", ["kind"], registry=self.registry
        )
        self._refused = Counter(
            "controlplane_manifests_refused_total", "Readings of the manifests with problems.", registry=self.registry
        )
        self._problems = Gauge(
            "controlplane_manifest_problems", "Problems in the manifests now; 0 is good.", registry=self.registry
        )
        self._objects = Gauge(
            "controlplane_objects", "Objects that are served, by kind.", ["kind"], registry=self.registry
        )
        self._endpoints = Gauge("controlplane_pool_endpoints", "Endpoints of all pools.", registry=self.registry)

    def published(self, files: Iterable[str], status: Status) -> None:
        for name in files:
            self._files.labels(name[:3]).inc()
        self._objects.labels("gateway").set(len(status.gateways))
        self._objects.labels("route").set(len(status.routes))
        self._objects.labels("pool").set(len(status.pools))
        self._endpoints.set(sum(pool.endpoints for pool in status.pools))

    def problems(self, count: int) -> None:
        self._problems.set(count)
        if count:
            self._refused.inc()
