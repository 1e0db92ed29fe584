"""`GET /drain/SERVER?wait=30s` on the operators' port, for the preStop hook of a model server. A shell on aiohttp.

From the request on the server is not picked; the answer comes when it has nothing in flight, or when `wait` is over.
That it changes something by GET is what hooks and `curl` without arguments can do. Never on the path of a request.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import orjson
from aiohttp import web

from gateway.schema import units
from gateway.service import logs
from gateway.service.clock import Clock

log = logs.get(__name__)

# Some seconds of the 30 that a Pod has by default are left for the server itself.
DEFAULT_WAIT_SECONDS: Final = 25.0
# As long as the picker remembers a server that has left.
LONGEST_WAIT_SECONDS: Final = 900.0
POLL_SECONDS: Final = 0.1
# By then other replicas know of the drain, and this one knows what they placed before.
SHARING_SECONDS: Final = 1.0
# Servers that leave at one time: more than any rollout stops at once, each with a connection of its own.
WAITING_LIMIT: Final = 256

Answer = tuple[int, Mapping[str, object]]
Sleep = Callable[[float], Awaitable[None]]


class Draining(Protocol):
    """What the picker offers."""

    def begin(self, server: str, wait: float, now: float) -> bool:
        """Pick a server no more; whether any pool knows it."""

    def in_flight(self, server: str) -> int:
        """Requests that it has."""


class Drain:
    """See the module's docstring. `settles` are the seconds for which nothing in flight proves nothing yet. A picker
    that starts waits until it `is_warm`: before, it does not know its pools, nor what others have in flight."""

    def __init__(
        self, draining: Draining, clock: Clock, sleep: Sleep, settles: float, is_warm: Callable[[], bool] = lambda: True
    ) -> None:
        self._draining = draining
        self._clock = clock
        self._sleep = sleep
        self._settles = settles
        self._is_warm = is_warm
        self._waiting = 0

    async def answer(self, server: str, written: str | None) -> Answer:
        """Status and document: 200 once it is idle, 504 when it is not in time; 400, 404 and 429 where nothing was
        done. `written` is the wait."""
        wait = DEFAULT_WAIT_SECONDS if written is None else units.duration(written)
        if wait is None or wait > LONGEST_WAIT_SECONDS:
            expected = f"{units.DURATION}, at most {LONGEST_WAIT_SECONDS:.0f}s"
            return 400, {"error": f"wait: expected {expected}, got {written!r}"}
        if self._waiting >= WAITING_LIMIT:
            return 429, {"error": f"{WAITING_LIMIT} servers drain already"}
        began = self._clock()
        while not self._is_warm() and self._clock() - began < wait:
            await self._sleep(POLL_SECONDS)
        if not self._draining.begin(server, wait, self._clock()):
            return 404, {"error": f"no pool has an endpoint {server!r}"}
        log.info("server drains", server=server, wait_seconds=wait)
        self._waiting += 1
        try:
            left = await self._idle(server, began, wait)
        finally:
            self._waiting -= 1
        waited = round(self._clock() - began, 3)
        log.info("server is drained" if left == 0 else "server did not drain", server=server, in_flight=left)
        return 504 if left else 200, {"server": server, "in_flight": left, "waited_seconds": waited}

    async def _idle(self, server: str, began: float, wait: float) -> int:
        """Wait for the last request to end; how many have not."""
        while True:
            left, waited = self._draining.in_flight(server), self._clock() - began
            if waited >= wait or (left == 0 and waited >= self._settles):
                return left
            await self._sleep(min(POLL_SECONDS, wait - waited))


def routes(
    draining: Draining, clock: Clock, sleep: Sleep, *, is_shared: bool, is_warm: Callable[[], bool]
) -> list[web.RouteDef]:
    """The route; `is_shared` where other replicas place requests, too, which are known once it `is_warm`."""
    drain = Drain(draining, clock, sleep, SHARING_SECONDS if is_shared else 0.0, is_warm)

    async def get(request: web.Request) -> web.Response:
        status, found = await drain.answer(request.match_info["server"], request.query.get("wait"))
        return web.Response(body=orjson.dumps(found) + b"\n", status=status, content_type="application/json")

    return [web.get("/drain/{server}", get)]
