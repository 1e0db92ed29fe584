"""What an operator counts at the control plane."""

from collections.abc import Collection, Iterable

from controlplane.status.conditions import Status
from controlplane.status.uptake import Uptake
from gateway.service.metrics import Registry


class Metrics:
    """Prometheus figures; labels come from kinds of files and of objects, never from names that a person chose."""

    def __init__(self) -> None:
        registry = self.registry = Registry()
        self._resources = registry.counter(
            "controlplane_resources_published_total", "Files or resources of Envoy that changed, by kind.", ("kind",)
        )
        self._proxies = registry.gauge(
            "controlplane_proxies", "Envoys, by what they made of the latest configuration.", ("state",)
        )
        self._refused = registry.counter(
            "controlplane_manifests_refused_total", "Readings of the manifests with problems."
        )
        self._problems = registry.gauge("controlplane_manifest_problems", "Problems in the manifests now; 0 is good.")
        self._objects = registry.gauge("controlplane_objects", "Objects that are served, by kind.", ("kind",))
        self._endpoints = registry.gauge("controlplane_pool_endpoints", "Endpoints of all pools.")

    def published(self, changed: Iterable[str]) -> None:
        """`changed` are files (`eds/a.json`) or resources (`eds/a`)."""
        for name in changed:
            self._resources.add((name[:3],))

    def served(self, status: Status) -> None:
        self._objects.set(len(status.gateways), ("gateway",))
        self._objects.set(len(status.routes), ("route",))
        self._objects.set(len(status.pools), ("pool",))
        self._endpoints.set(sum(pool.endpoints for pool in status.pools))

    def taken(self, uptakes: Collection[Uptake]) -> None:
        self._proxies.set(sum(len(each.taken) for each in uptakes), ("taken",))
        self._proxies.set(sum(len(each.waiting) for each in uptakes), ("waiting",))
        self._proxies.set(sum(len({found.node for found in each.refusals}) for each in uptakes), ("refused",))

    def problems(self, count: int) -> None:
        self._problems.set(count)
        if count:
            self._refused.add()
