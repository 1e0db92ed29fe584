"""The status follows what Envoy made of what was served, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from controlplane.fleet import EVERY
from controlplane.metrics import Metrics
from controlplane.options import Options
from controlplane.plane import ControlPlane, ForEvery
from controlplane.status.conditions import Condition
from controlplane.status.uptake import Refusal, Uptake
from controlplane.xds.snapshot import Snapshot as Resources
from gateway.kube.objects import Manifests, ObjectKey, ObjectName
from gateway.kube.sources.source import Snapshot, Statuses
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool


class Objects:
    """A source whose states are put in by hand."""

    def __init__(self) -> None:
        self.states: asyncio.Queue[Manifests] = asyncio.Queue()
        self.reported: asyncio.Queue[Statuses] = asyncio.Queue()

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        while True:
            yield Snapshot(await self.states.get(), {})

    async def report(self, statuses: Statuses, /) -> None:
        await self.reported.put(statuses)


class Envoys:
    """A server whose proxies answer by hand."""

    def __init__(self) -> None:
        self.served: asyncio.Queue[Resources] = asyncio.Queue()
        self.answers: asyncio.Queue[Uptake] = asyncio.Queue()

    async def serve(self, snapshot: Resources, /) -> tuple[str, ...]:
        await self.served.put(snapshot)
        return ("rds/x",)

    async def uptakes(self) -> AsyncIterator[Uptake]:
        while True:
            yield await self.answers.get()


class Stand:
    """A control plane with both ends in hand; its clock counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ticks = 0
        self.objects, self.envoys = Objects(), Envoys()
        self.plane = ControlPlane(self.objects, ForEvery(self.envoys), Metrics(), Options(), self._stamp)

    def _stamp(self) -> str:
        self._ticks += 1
        return str(self._ticks)

    async def edit(self, path: str) -> str:
        """Serve another state; its version."""
        texts = (gateway(), route(to_pool(path)), pool(), service())
        await self.objects.states.put(manifests(self._folder, *texts))
        version = (await self.envoys.served.get()).version
        await self.until(lambda: self.plane.view.published)
        return version

    async def answer(self, uptake: Uptake) -> None:
        await self.envoys.answers.put(uptake)
        await self.until(lambda: self.plane.view.uptakes == {EVERY: uptake})

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    @property
    def programmed(self) -> Condition:
        (gateway_status,) = self.plane.view.status.gateways
        return gateway_status.conditions[1]


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Stand]:
    stand = Stand(folder)
    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(each) for each in (stand.plane.follow(), stand.plane.watch(), stand.plane.report())]
        yield stand
        for job in jobs:
            job.cancel()


async def test_nothing_is_programmed_before_an_envoy_took_it(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        version = await stand.edit("/a")
        first = stand.programmed
        await stand.answer(Uptake(version, waiting=("e",)))
        waiting = stand.programmed
        await stand.answer(Uptake(version, taken=("e",)))

        assert (first.reason, first.message) == ("Pending", "no Envoy is there")
        assert waiting.reason == "Pending"
        assert stand.programmed.reason == "Programmed"


async def test_a_status_stays_until_every_envoy_has_answered(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        await stand.answer(Uptake(await stand.edit("/a"), taken=("e",)))
        before = stand.plane.view.status
        version = await stand.edit("/b")
        await stand.answer(Uptake(version, taken=("e",), waiting=("f",)))
        assert stand.plane.view.status is before

        await stand.answer(Uptake(version, taken=("e",), refusals=(Refusal("f", "no"),)))
        refused = stand.programmed
        await stand.answer(Uptake(version, taken=("e", "f")))

    assert (refused.is_true, refused.reason) == (False, "Invalid")
    assert refused.message == "Envoy f refuses it: no. What it had before is still served"
    assert stand.programmed.is_true


async def test_without_any_envoy_the_status_is_still_that_of_the_objects(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        await stand.answer(Uptake(await stand.edit("/a"), taken=("e",)))
        await stand.answer(Uptake(await stand.edit("/b")))

        assert stand.programmed.reason == "Pending"


async def test_where_nobody_can_be_asked_what_was_written_counts(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        await stand.answer(Uptake(await stand.edit("/a"), is_known=False))
        since = stand.programmed.since
        await stand.answer(Uptake(await stand.edit("/b"), is_known=False))

        assert stand.programmed.is_true
        assert stand.programmed.since == since, "the time changes with the status only"


async def test_every_new_status_goes_back_to_where_the_objects_are_kept(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand, asyncio.timeout(10):
        version = await stand.edit("/a")
        await stand.answer(Uptake(version, taken=("e",)))
        last: Statuses = {}
        while not str(last.get(ObjectKey("Gateway", ObjectName("default", "g")))).count("'reason': 'Programmed'"):
            last = await stand.objects.reported.get()

        assert {key.kind for key in last} == {"Gateway", "HTTPRoute", "InferencePool"}
        await stand.answer(Uptake(version, taken=("e", "f")))
        assert stand.objects.reported.empty()
