"""The order in which files reach Envoy, and what is left alone."""

import json
from pathlib import Path

from controlplane.publish import RELEASE_SECONDS, WARM_SECONDS, publish, read, steps


def files(*clusters: str, routes: str = "r", listeners: str = "l") -> dict[str, bytes]:
    found = {f"eds/{name}.json": name.encode() for name in clusters}
    cds = {"version_info": ",".join(clusters), "resources": [{"name": name} for name in clusters]}
    return {
        **found,
        "cds.json": json.dumps(cds).encode(),
        "rds/x.json": routes.encode(),
        "lds.json": listeners.encode(),
    }


def names(content: bytes) -> list[str]:
    return [item["name"] for item in json.loads(content)["resources"]]


def test_a_first_rendering_is_written_without_a_pause() -> None:
    found = steps({}, files("a"))

    assert [list(step.write) for step in found] == [["eds/a.json", "cds.json"], ["rds/x.json", "lds.json"], []]
    assert [step.pause for step in found] == [0, 0, 0]


def test_nothing_is_written_that_did_not_change() -> None:
    assert all(not step.write and not step.remove and not step.pause for step in steps(files("a"), files("a")))


def test_a_new_cluster_warms_before_a_route_leads_to_it() -> None:
    first, second, third = steps(files("a"), files("a", "b", routes="r2"))

    assert (list(first.write), first.pause) == (["eds/b.json", "cds.json"], WARM_SECONDS)
    assert list(second.write) == ["rds/x.json"]
    assert (third.write, third.remove) == ({}, ())


def test_an_old_cluster_stays_until_no_route_leads_to_it() -> None:
    first, second, third = steps(files("a", "b"), files("b", "c", routes="r2"))

    assert names(first.write["cds.json"]) == ["b", "c", "a"]
    assert second.pause == RELEASE_SECONDS
    assert names(third.write["cds.json"]) == ["b", "c"]
    assert third.remove == ("eds/a.json",)


def test_changed_endpoints_alone_need_no_pause() -> None:
    new = files("a") | {"eds/a.json": b"other"}

    assert [(list(step.write), step.pause) for step in steps(files("a"), new)] == [
        (["eds/a.json"], 0.0),
        ([], 0.0),
        ([], 0.0),
    ]


def test_a_damaged_file_is_replaced() -> None:
    old = files("a") | {"cds.json": b"{"}

    assert names(steps(old, files("a"))[0].write["cds.json"]) == ["a"]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_the_folder_ends_as_rendered_whatever_was_there(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for new in (files("a", "b"), files("b", "c", routes="r2"), files("c", listeners="l2")):
        written = await publish(tmp_path, new, sleep)
        assert read(tmp_path) == new
        assert "cds.json" in written
        assert await publish(tmp_path, new, sleep) == ()
    assert slept == [WARM_SECONDS, RELEASE_SECONDS, RELEASE_SECONDS]
    assert set(read(tmp_path)) == {str(path.relative_to(tmp_path)) for path in _files(tmp_path)}
