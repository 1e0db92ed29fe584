"""Snapshots follow files and names on a real file system."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from gateway.kube.sources.folders import FolderSource
from gateway.kube.sources.resolve import system_lookup
from gateway.kube.sources.source import Snapshot

TICK = 0.1


def config_map(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s}
addressType: FQDN
endpoints: [{addresses: [sim]}]
"""


async def following(stream: AsyncIterator[Snapshot]) -> Snapshot:
    async with asyncio.timeout(10):
        return await anext(stream)


def names(snapshot: Snapshot) -> list[str]:
    return sorted(name.name for name in snapshot.manifests.config_maps)


async def test_an_edit_a_mistake_and_its_repair_are_followed(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(config_map("a"))
    async with aclosing(FolderSource([tmp_path], tick_seconds=TICK).snapshots()) as stream:
        assert names(await following(stream)) == ["a"]

        file.write_text(config_map("b"))
        assert names(await following(stream)) == ["b"]

        file.write_text("kind: [")
        broken = await following(stream)
        assert names(broken) == ["b"], "the last good manifests stay"
        assert broken.problems[0].place.source == str(file)

        file.write_text(config_map("c"))
        repaired = await following(stream)
        assert (names(repaired), repaired.problems) == (["c"], ())


async def test_a_mounted_config_map_is_followed_when_its_link_is_swapped(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "a.yaml").write_text(config_map(f"v{version}"))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    async with aclosing(FolderSource([tmp_path], tick_seconds=TICK).snapshots()) as stream:
        assert names(await following(stream)) == ["v1"]

        (tmp_path / "..new").symlink_to("..2")
        os.rename(tmp_path / "..new", tmp_path / "..data")  # noqa: PTH104

        assert names(await following(stream)) == ["v2"]


async def test_files_behind_links_and_folders_that_come_later_are_seen(tmp_path: Path) -> None:
    elsewhere, folder, late = tmp_path / "elsewhere", tmp_path / "folder", tmp_path / "late"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "a.yaml").write_text(config_map("a"))
    (folder / "a.yaml").symlink_to(elsewhere / "a.yaml")
    async with aclosing(FolderSource([folder, late], tick_seconds=TICK).snapshots()) as stream:
        first = await following(stream)
        assert [problem.message for problem in first.problems] == ["no such folder"]

        late.mkdir()
        (late / "b.yaml").write_text(config_map("b"))
        while (found := await following(stream)).problems or names(found) != ["a", "b"]:
            pass

        (elsewhere / "a.yaml").write_text(config_map("z"))
        assert names(await following(stream)) == ["b", "z"]


async def test_addresses_of_names_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SLICE)
    answers: dict[str, tuple[str, ...]] = {"sim": ("10.0.0.1",)}
    source = FolderSource([tmp_path], lookup=lambda name: answers.get(name, ()), tick_seconds=TICK)
    async with aclosing(source.snapshots()) as stream:
        assert (await following(stream)).addresses == {"sim": ("10.0.0.1",)}

        answers["sim"] = ("10.0.0.1", "10.0.0.2")
        assert (await following(stream)).addresses == {"sim": ("10.0.0.1", "10.0.0.2")}


async def test_a_lookup_that_hangs_delays_no_edit(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SLICE)
    released = threading.Event()

    def lookup(name: str) -> tuple[str, ...]:
        released.wait(30)
        return ("10.0.0.1",)

    source = FolderSource([tmp_path], lookup=lookup, tick_seconds=TICK)
    async with aclosing(source.snapshots()) as stream:
        assert (await following(stream)).addresses == {}
        (tmp_path / "b.yaml").write_text(config_map("b"))
        assert names(await following(stream)) == ["b"]
        released.set()
        assert (await following(stream)).addresses == {"sim": ("10.0.0.1",)}


async def test_a_touched_file_and_a_quiet_folder_bring_no_snapshot(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(config_map("a"))
    async with aclosing(FolderSource([tmp_path], tick_seconds=TICK).snapshots()) as stream:
        await following(stream)
        file.touch()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5 * TICK):
                await anext(stream)


async def test_a_snapshot_says_what_changed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config_map("a"))
    (tmp_path / "b.yaml").write_text(config_map("b") + "data: {x: '1'}\n")
    async with aclosing(FolderSource([tmp_path], tick_seconds=TICK).snapshots()) as stream:
        assert sorted(map(str, (await following(stream)).changed)) == ["ConfigMap default/a", "ConfigMap default/b"]

        (tmp_path / "b.yaml").write_text("# moved by a line\n" + config_map("b") + "data: {x: '2'}\n")
        assert sorted(map(str, (await following(stream)).changed)) == ["ConfigMap default/b"]

        (tmp_path / "a.yaml").unlink()
        assert sorted(map(str, (await following(stream)).changed)) == ["ConfigMap default/a"]


def test_the_systems_resolver_knows_this_host() -> None:
    assert "127.0.0.1" in system_lookup("localhost")
    assert system_lookup("127.0.0.1") == ("127.0.0.1",)
    assert system_lookup("no.such.host.invalid") == ()
    assert system_lookup("x" * 300) == ()
