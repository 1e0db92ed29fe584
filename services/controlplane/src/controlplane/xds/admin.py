"""Asks Envoy's administration port what it made of the files. A shell on aiohttp; it changes nothing there."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from controlplane.xds.figures import FILTER, Figures

TIMEOUT_SECONDS = 2.0


class EnvoyAdmin:
    """One Envoy's port. `node` is how messages call it."""

    def __init__(self, host: str, port: int) -> None:
        self.node = f"{host}:{port}"
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def figures(self) -> Figures | None:
        """Versions taken and counts of rejections; None if it does not answer."""
        return await self.statistics(FILTER)

    async def errors(self) -> tuple[str, ...]:
        """Why it refuses listeners, in its own words. It keeps none for clusters and routes but in its log."""
        found = await self._get("/config_dump", {"resource": "dynamic_listeners", "mask": "name,error_state"})
        entries = (found or {}).get("configs", ())
        return tuple(item["error_state"]["details"] for item in entries if "details" in item.get("error_state", {}))

    async def statistics(self, pattern: str) -> Mapping[str, int] | None:
        """Counters and gauges by their names, of those that a regular expression finds; None if it does not answer."""
        found = await self._get("/stats", {"format": "json", "filter": pattern})
        if found is None:
            return None
        return {item["name"]: item["value"] for item in found.get("stats", ()) if "name" in item}

    async def clusters(self) -> Any:
        """/clusters as it is; None if it does not answer."""
        return await self._get("/clusters", {"format": "json"})

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
                session.get(self._url + path, params=query) as answer,
            ):
                return json.loads(await answer.text()) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
