"""What this replica shares with the others, over HTTP: /debug/replicas. A shell on aiohttp."""

from collections.abc import Mapping
from typing import Protocol

import orjson
from aiohttp import web

from epp.domain import PoolId
from gateway.service.clock import Clock


class Others(Protocol):
    """What is known of other replicas."""

    def replicas(self, now: float) -> Mapping[PoolId, object]:
        """Their runs, by pool."""


class Follower(Protocol):
    """What is read of what they share."""

    is_warm: bool

    @property
    def lacking(self) -> Mapping[PoolId, str]:
        """Pools of which the past is not known, and why."""


class Counts(Protocol):
    """What was shared."""

    def describe(self) -> Mapping[str, object]:
        """Events, lag, and whether it works."""


def routes(others: Others, follower: Follower | None, counts: Counts, clock: Clock) -> list[web.RouteDef]:
    """Nothing where the replica is alone."""
    if follower is None:
        return []

    async def replicas(_request: web.Request) -> web.Response:
        shown = {
            "is_warm": follower.is_warm,
            "lacks": dict(follower.lacking),
            **counts.describe(),
            "pools": [{"pool": id_, "replicas": runs} for id_, runs in others.replicas(clock()).items()],
        }
        return web.Response(body=orjson.dumps(shown, option=orjson.OPT_INDENT_2), content_type="application/json")

    return [web.get("/debug/replicas", replicas)]
