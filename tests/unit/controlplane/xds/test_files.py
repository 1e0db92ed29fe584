"""The order in which files reach Envoy, and what is left alone."""

import json
from pathlib import Path

import pytest

from controlplane.status.uptake import Refusal, Uptake
from controlplane.xds.files import (
    ASK_AGAIN_SECONDS,
    ASK_SECONDS,
    RELEASE_SECONDS,
    WARM_SECONDS,
    FolderServer,
    contents,
    pause_after,
    restored,
    steps,
)
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Snapshot, snapshot_of
from tests.unit.controlplane.folders import published

NOTHING = Snapshot()


def snapshot(*clusters: str, routes: str = "r", listeners: str = "l", endpoints: str = "") -> Snapshot:
    return snapshot_of(
        {
            names.ENDPOINTS_TYPE: [{"cluster_name": name, "is": endpoints} for name in clusters],
            names.CLUSTER_TYPE: [{"name": name} for name in clusters],
            names.ROUTES_TYPE: [{"name": "x", "is": routes}],
            names.LISTENER_TYPE: [{"name": listeners}],
        }
    )


def clusters_in(content: bytes) -> list[str]:
    return [item["name"] for item in json.loads(content)["resources"]]


def test_a_first_rendering_is_written_without_a_pause() -> None:
    found = steps(NOTHING, snapshot("a"))

    assert [list(step.write) for step in found] == [["eds/a.json", "cds.json"], ["rds/x.json", "lds.json"], []]
    assert [step.pause for step in found] == [0, 0, 0]


def test_nothing_is_written_that_did_not_change() -> None:
    found = steps(snapshot("a"), snapshot("a"))

    assert all(not step.write and not step.remove and not step.pause for step in found)


def test_a_new_cluster_warms_before_a_route_leads_to_it() -> None:
    first, second, third = steps(snapshot("a"), snapshot("a", "b", routes="r2"))

    assert (list(first.write), first.pause) == (["eds/b.json", "cds.json"], WARM_SECONDS)
    assert list(second.write) == ["rds/x.json"]
    assert (third.write, third.remove) == ({}, ())


def test_an_old_cluster_stays_until_no_route_leads_to_it() -> None:
    first, second, third = steps(snapshot("a", "b"), snapshot("b", "c", routes="r2"))

    assert clusters_in(first.write["cds.json"]) == ["b", "c", "a"]
    assert second.pause == RELEASE_SECONDS
    assert clusters_in(third.write["cds.json"]) == ["b", "c"]
    assert third.remove == ("eds/a.json",)


def test_changed_endpoints_alone_need_no_pause() -> None:
    found = steps(snapshot("a"), snapshot("a", endpoints="other"))

    assert [(list(step.write), step.pause) for step in found] == [(["eds/a.json"], 0.0), ([], 0.0), ([], 0.0)]


async def test_a_folder_is_restored_as_it_was_served(tmp_path: Path) -> None:
    await FolderServer(tmp_path).serve(snapshot("a", "b"))

    assert restored(tmp_path) == snapshot("a", "b")
    assert await FolderServer(tmp_path).serve(snapshot("a", "b")) == ()


async def test_damaged_files_are_replaced(tmp_path: Path) -> None:
    await FolderServer(tmp_path).serve(snapshot("a"))
    whole = published(tmp_path)
    for content in (b"{", b"[]", b'{"resources": 1}', b'{"resources": [1]}', b'{"resources": []}'):
        for name in whole:
            (tmp_path / name).write_bytes(content)
        await FolderServer(tmp_path).serve(snapshot("a"))
        assert published(tmp_path) == whole


async def test_a_file_that_nothing_names_is_removed(tmp_path: Path) -> None:
    (tmp_path / "eds").mkdir()
    (tmp_path / "eds" / "stray.json").write_bytes(b"{")

    await FolderServer(tmp_path).serve(snapshot("a"))

    assert published(tmp_path) == contents(snapshot("a"))


async def test_the_folder_ends_as_rendered_whatever_was_there(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server = FolderServer(tmp_path, sleep)
    for new in (snapshot("a", "b"), snapshot("b", "c", routes="r2"), snapshot("c", listeners="l2")):
        written = await server.serve(new)
        assert published(tmp_path) == contents(new)
        assert "cds.json" in written
        assert await server.serve(new) == ()
    assert slept == [WARM_SECONDS, RELEASE_SECONDS, RELEASE_SECONDS]
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(contents(new))


async def test_a_call_that_breaks_off_is_made_good_by_the_next(tmp_path: Path) -> None:
    faults = [OSError("disk full")]

    async def sleep(_seconds: float) -> None:
        if faults:
            raise faults.pop()

    server = FolderServer(tmp_path, sleep)
    await server.serve(snapshot("a"))
    with pytest.raises(OSError, match="disk full"):
        await server.serve(snapshot("b"))
    await server.serve(snapshot("c"))

    assert published(tmp_path) == contents(snapshot("c"))


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (Uptake("1"), ASK_SECONDS),  # no Envoy is there yet
        (Uptake("1", waiting=("a",)), ASK_SECONDS),
        (Uptake("1", taken=("a",)), ASK_AGAIN_SECONDS),
        (Uptake("1", refusals=(Refusal("a", "no"),)), ASK_AGAIN_SECONDS),
    ],
)
def test_envoy_is_asked_again_soon_until_it_is_there_and_has_taken_everything(found: Uptake, seconds: float) -> None:
    assert pause_after(found) == seconds
