"""Envoy's figures for the page: requests and failures of each cluster, and of the endpoints that fail. A shell.

However many pages are open, Envoy is asked at most once for each interval.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from gateway.service.clock import Clock

INTERVAL_SECONDS: Final = 1.5
ENDPOINTS_SHOWN: Final = 50  # those that fail most
# Of clusters that answer clients, and of listeners for clients.
PATTERN: Final = (
    r"^(cluster\.(pool|service|share)_.*\.upstream_rq_(total|active|5xx|retry)"
    r"|http\.listener_\d+\.downstream_rq_(total|active|4xx|5xx))$"
)
_CLUSTER, _HTTP = "cluster.", "http."

Tree = Mapping[str, Any]


class Envoy(Protocol):
    """An Envoy that can be asked."""

    async def statistics(self, pattern: str, /) -> Mapping[str, int] | None: ...

    async def clusters(self) -> Any: ...


class Traffic:
    """The latest figures."""

    def __init__(self, envoy: Envoy | None, now: Clock) -> None:
        self._envoy = envoy
        self._now = now
        self._read_at = float("-inf")
        self._found: Tree = {"known": False, "clusters": {}, "clients": {}, "endpoints": []}
        self._lock = asyncio.Lock()

    async def latest(self) -> Tree:
        """Read now, or a moment ago. `known` is false where Envoy cannot be asked, or does not answer."""
        async with self._lock:
            if self._envoy is not None and self._now() - self._read_at >= INTERVAL_SECONDS:
                statistics, clusters = await asyncio.gather(self._envoy.statistics(PATTERN), self._envoy.clusters())
                self._read_at = self._now()
                self._found = await asyncio.to_thread(figures, statistics, clusters)
        return self._found


def figures(statistics: Mapping[str, int] | None, clusters: Any) -> Tree:
    """Envoy's statistics by cluster, and its endpoints that have failed. Pure."""
    found: dict[str, dict[str, int]] = {}
    clients: dict[str, int] = {}
    for name, value in (statistics or {}).items():
        owner, _, figure = name.rpartition(".")
        if owner.startswith(_CLUSTER):
            found.setdefault(owner.removeprefix(_CLUSTER), {})[figure.removeprefix("upstream_rq_")] = value
        elif owner.startswith(_HTTP):
            key = figure.removeprefix("downstream_rq_")
            clients[key] = clients.get(key, 0) + value
    endpoints = sorted(_failing(clusters), key=lambda each: (-each["errors"], each["endpoint"]))
    return {
        "known": statistics is not None,
        "clusters": found,
        "clients": clients,
        "endpoints": endpoints[:ENDPOINTS_SHOWN],
    }


def _failing(clusters: Any) -> Iterable[dict[str, Any]]:
    """Endpoints with answers of 5xx, or attempts that got none."""
    for cluster in (clusters or {}).get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            counts = {item["name"]: int(item.get("value", 0)) for item in host.get("stats", ())}
            address = host.get("address", {}).get("socket_address", {})
            errors = counts.get("rq_error", 0)
            if errors and address:
                yield {
                    "endpoint": f"{address['address']}:{address['port_value']}",
                    "cluster": cluster["name"],
                    "errors": errors,
                    "requests": counts.get("rq_total", 0),
                }
