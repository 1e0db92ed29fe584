"""gRPC health (`grpc.health.v1`) under the names that Envoy, kubelets and the reference's charts use.

`liveness` serves as long as the process does; the others follow `is_ready`. Unknown names are SERVICE_UNKNOWN, as in
the reference. A service on the loop; Watch looks again every WATCH_SECONDS.

Not grpcio-health-checking (1.85): its asyncio servicer has no List, answers unknown names with NOT_FOUND, turns
`liveness` to NOT_SERVING with the rest on a shutdown, keeps a status that must be set where ours is a question to the
service, and cannot say whether a proxy has seen NOT_SERVING. It would replace half of this module.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from enum import IntEnum

from google.protobuf.message import DecodeError

from gateway import protos
from gateway.rpc.calls import Call, Method, Status
from gateway.service import clock
from gateway.service.clock import Clock
from gateway.wire.protocol import HEALTH_LIVENESS, HEALTH_SERVICE, HEALTH_SERVICES

# How soon a watcher gets a change; watchers are few and the check is one call.
WATCH_SECONDS = 0.25
# A proxy checks every second or so: one whose last check is this recent will check again, within ANNOUNCE_SECONDS.
RECENT_SECONDS = 5.0
ANNOUNCE_SECONDS = 2.0
# Who was told may not be the only one: a proxy checks for each of its clusters, and there may be several proxies. All
# of ours ask at least this often.
OTHERS_SECONDS = 1.0


class Serving(IntEnum):
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Health:
    """The servicer. `close` makes everything but liveness NOT_SERVING, for a drain.

    Use one per process, on every gRPC port: `announced` then counts the checks on all of them.
    """

    def __init__(self, is_ready: Callable[[], bool], now: Clock = clock.monotonic) -> None:
        pool = protos.load_pool()
        self._request = protos.message_class(pool, "grpc.health.v1.HealthCheckRequest")
        self._response = protos.message_class(pool, "grpc.health.v1.HealthCheckResponse")
        self._list_response = protos.message_class(pool, "grpc.health.v1.HealthListResponse")
        self._list_request = protos.message_class(pool, "grpc.health.v1.HealthListRequest")
        self._is_ready = is_ready
        self._clock = now
        self._is_closed = False
        self._checked_at = float("-inf")
        self._has_announced = asyncio.Event()

    def close(self) -> None:
        """Answer NOT_SERVING from now on."""
        self._is_closed = True

    async def announced(self) -> None:
        """Return when all who check this process have got NOT_SERVING; at once when none checks."""
        if self._clock() - self._checked_at > RECENT_SECONDS:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._has_announced.wait()
                await asyncio.sleep(OTHERS_SECONDS)

    def status(self, service: str) -> Serving:
        """The status of one service name."""
        if service == HEALTH_LIVENESS:
            return Serving.SERVING
        if service not in HEALTH_SERVICES:
            return Serving.SERVICE_UNKNOWN
        return Serving.SERVING if self._is_ready() and not self._is_closed else Serving.NOT_SERVING

    @property
    def methods(self) -> Mapping[str, Method]:
        """Under gRPC's own name."""
        return {
            f"/{HEALTH_SERVICE}/Check": lambda _metadata, call: Question(self._check, call),
            f"/{HEALTH_SERVICE}/List": lambda _metadata, call: Question(self._list, call),
            f"/{HEALTH_SERVICE}/Watch": lambda _metadata, call: Watch(self, call),
        }

    def service_of(self, message: bytes) -> str:
        """The name that a request asks about."""
        name: str = self._request.FromString(message).service
        return name

    def response(self, status: Serving) -> bytes:
        """One answer of Check or Watch."""
        serialised: bytes = self._response(status=status).SerializeToString()
        return serialised

    def _check(self, message: bytes) -> bytes:
        status = self.status(self.service_of(message))
        self._checked_at = self._clock()
        if self._is_closed:
            self._has_announced.set()
        return self.response(status)

    def _list(self, _message: bytes) -> bytes:
        names = (HEALTH_LIVENESS, *HEALTH_SERVICES)
        statuses = {name: self._response(status=self.status(name)) for name in names}
        serialised: bytes = self._list_response(statuses=statuses).SerializeToString()
        return serialised


class Question:
    """The handler of a unary RPC."""

    __slots__ = ("_answer", "_call", "is_at_rest")

    is_collecting = False

    def __init__(self, answer: Callable[[bytes], bytes], call: Call) -> None:
        self._answer = answer
        self._call = call
        self.is_at_rest = False

    def receive(self, message: bytes) -> None:
        """Answer, and end."""
        try:
            answer = self._answer(message)
        except DecodeError as error:
            self._call.end(Status.INVALID_ARGUMENT, f"the message cannot be read: {error}")
            return
        self._call.send((answer,))
        self._call.end()

    def half_closed(self) -> None:
        """A question must have come before."""
        self._call.end(Status.INTERNAL, "the call has no message")

    def closed(self, *, is_cut: bool) -> None:
        """Nothing is kept."""
        del is_cut


class Watch:
    """The handler of a watcher: each change of the status is sent once."""

    __slots__ = ("_call", "_health", "_latest", "_service", "_timer")

    is_at_rest = True
    is_collecting = False

    def __init__(self, health: Health, call: Call) -> None:
        self._health = health
        self._call = call
        self._service = ""
        self._latest: Serving | None = None
        self._timer: asyncio.TimerHandle | None = None

    def receive(self, message: bytes) -> None:
        """Begin to watch."""
        try:
            self._service = self._health.service_of(message)
        except DecodeError as error:
            self._call.end(Status.INVALID_ARGUMENT, f"the message cannot be read: {error}")
            return
        if self._timer is None:
            self._look()

    def half_closed(self) -> None:
        """A watcher sends nothing after its question."""

    def closed(self, *, is_cut: bool) -> None:
        """Stop."""
        del is_cut
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        status = self._health.status(self._service)
        if status is not self._latest:
            self._latest = status
            self._call.send((self._health.response(status),))
        self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)
