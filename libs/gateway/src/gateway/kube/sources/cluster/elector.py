"""Takes part in the election of the replica that writes, by a Lease of the API server.

Shell around `lease`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from random import Random
from typing import Any, Final, NamedTuple

from gateway.kube.sources.cluster import lease
from gateway.kube.sources.cluster.lease import Candidate, Record
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.resources import LEASE
from gateway.kube.sources.cluster.server import LOST, ApiServer, RefusedError
from gateway.service import clock

RELEASE_SECONDS: Final = 2.0  # for giving it up at the end; without that it runs out
JITTER: Final = 0.2  # of a turn, so that replicas do not come together


class Election(NamedTuple):
    """The Lease, and the name of this replica in it."""

    namespace: str
    name: str
    identity: str


class Elector:
    """`manager` owns the fields of the Lease. `gained` is called when this replica becomes the one that writes, also
    after a renewal that came late. Run `run` in a task."""

    def __init__(
        self,
        server: ApiServer,
        observer: Observer,
        election: Election,
        manager: str,
        *,
        gained: Callable[[], None],
        random: Random,
    ) -> None:
        self._server = server
        self._observer = observer
        self._election = election
        self._manager = manager
        self._gained = gained
        self._random = random
        self._candidate = Candidate(election.identity)
        self._folder = LEASE.folder(election.namespace)
        self._held = False  # as it was shown last

    def may_write(self) -> bool:
        """Whether this replica is the one that writes, at this moment."""
        return self._candidate.holds(clock.monotonic())

    async def run(self) -> None:
        """Until cancelled; then it is given up."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(lease.GIVE_UP_SECONDS):
                        await self._turn()
                self._show()
                await asyncio.sleep(lease.TURN_SECONDS * self._random.uniform(1 - JITTER, 1 + JITTER))
        finally:
            with suppress(TimeoutError, RefusedError, *LOST):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._release()

    async def _turn(self) -> None:
        verb = "get"
        try:
            found, version = await self._read()
            verb, sent_at = "patch" if version else "create", clock.monotonic()
            record = self._candidate.next_record(found, clock.precise_stamp(), sent_at)
            if record is not None:
                await self._write(record, version)
                if self._candidate.written(record, sent_at, clock.monotonic()):
                    self._gained()
        except RefusedError as error:
            if error.status != HTTPStatus.CONFLICT:  # another was quicker
                self._observer.unkept(str(LEASE), verb, str(error))
        except LOST as error:
            self._observer.failed(error)

    async def _release(self) -> None:
        if not self.may_write():
            return
        found, version = await self._read()
        record = self._candidate.released(found)
        if record is not None:
            await self._write(record, version)

    async def _read(self) -> tuple[Record | None, str]:
        """What the Lease says, and its version; nothing where there is none."""
        found = await self._server.find(f"{self._folder}/{self._election.name}")
        return (None, "") if found is None else (_record(found.get("spec") or {}), found["metadata"]["resourceVersion"])

    async def _write(self, record: Record, version: str) -> None:
        metadata = {"name": self._election.name, "namespace": self._election.namespace}
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": round(lease.DURATION_SECONDS),
            "acquireTime": record.acquired,
            "renewTime": record.renewed,
            "leaseTransitions": record.transitions,
        }
        body = {
            "apiVersion": LEASE.api_version(LEASE.versions[0]),
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": spec,
        }
        if not version:
            await self._server.create(self._folder, self._manager, body)
            return
        at = {**body, "metadata": {**metadata, "resourceVersion": version}}
        await self._server.apply(f"{self._folder}/{self._election.name}", self._manager, at)

    def _show(self) -> None:
        held, self._held = self._held, self.may_write()
        if held != self._held:
            self._observer.leads(is_leader=self._held)


def _record(spec: dict[str, Any]) -> Record:
    return Record(
        str(spec.get("holderIdentity") or ""),
        str(spec.get("acquireTime") or ""),
        str(spec.get("renewTime") or ""),
        int(spec.get("leaseTransitions") or 0),
    )
