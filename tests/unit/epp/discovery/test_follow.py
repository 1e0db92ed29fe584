"""Discovery takes every good change of a source, whatever the source is, and keeps the last good pools."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from bbr.app import Mapped
from epp.discovery import Discovery, Pools
from epp.domain import PoolId
from gateway.kube.objects import Manifests
from gateway.kube.sources.files import load
from gateway.kube.sources.source import Snapshot, Source
from gateway.schema.problems import Place, Problem
from gateway.tenancy.tenants import Tenants

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: a}
spec: {selector: {matchLabels: {app: x}}, targetPorts: [{number: 80}]}
"""
SLICE = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s, labels: {{app: x}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}]}}]
"""
WRONG = (Problem(Place("InferencePool default/a"), "spec", "required"),)


class Listed:
    """A source whose snapshots are known beforehand."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self._snapshots = snapshots

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        for snapshot in self._snapshots:
            yield snapshot


def snapshot(folder: Path, text: str, problems: tuple[Problem, ...] = ()) -> Snapshot:
    (folder / "a.yaml").write_text(text)
    return Snapshot(load([folder]).manifests, {}, problems)


async def followed(source: Source) -> list[list[str]]:
    """The endpoints of the pool at each change."""
    taken: list[Pools] = []
    await Discovery(taken.append).follow(source)
    return [[endpoint.id for endpoint in pools[PoolId("default/a")].endpoints] for pools in taken]


async def test_each_change_is_taken_once(tmp_path: Path) -> None:
    first = snapshot(tmp_path, POOL + SLICE.format(address="10.0.0.1"))
    same = snapshot(tmp_path, "# moved\n" + POOL + SLICE.format(address="10.0.0.1"))
    second = snapshot(tmp_path, POOL + SLICE.format(address="10.0.0.2"))

    assert await followed(Listed(first, same, second)) == [["10.0.0.1:80"], ["10.0.0.2:80"]]


async def test_nothing_is_taken_before_the_first_good_snapshot(tmp_path: Path) -> None:
    empty = snapshot(tmp_path, "", WRONG)
    good = snapshot(tmp_path, POOL)
    kept = good._replace(problems=WRONG)

    assert await followed(Listed(empty, good, kept)) == [[]]


class Held:
    """A source that has read nothing yet."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        self.is_asked.set()
        await asyncio.Event().wait()
        yield Snapshot(Manifests(), {})


async def test_there_are_no_tenants_only_once_objects_were_read(tmp_path: Path) -> None:
    held, discovery = Held(), Discovery(lambda _: None)
    following = asyncio.create_task(discovery.follow(held))
    await held.is_asked.wait()
    assert discovery.tenants is None
    following.cancel()
    refused = Snapshot(Manifests(), {}, WRONG)
    await discovery.follow(Listed(refused))
    assert discovery.tenants is None

    await discovery.follow(Listed(snapshot(tmp_path, POOL)))
    assert discovery.tenants == Tenants()


async def test_a_router_judges_nobody_before_its_manifests_were_read() -> None:
    held, mapped = Held(), Mapped()
    following = asyncio.create_task(mapped.follow(held, None))
    await held.is_asked.wait()
    assert mapped.tenants is None
    following.cancel()
    await mapped.follow(None, None)
    assert mapped.tenants == Tenants()
