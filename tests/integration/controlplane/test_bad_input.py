"""Whatever is put into a folder, what worked keeps working, the status says what is wrong, and a repair is taken."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.controlplane.test_service import GOOD, running, until
from tests.unit.controlplane.folders import published
from tests.unit.controlplane.manifest_texts import gateway, pool, route, service, to_pool

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
Spoil = Callable[[Path], object]


def text(content: str) -> Spoil:
    return lambda file: file.write_text(content)


def huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.write(b"kind: X\n" * 128)
        opened.truncate(50 * 1024 * 1024)


def link_to_nowhere(file: Path) -> None:
    file.symlink_to(file.with_name("gone"))


def many_files(folder: Path) -> None:
    for number in range(10_001):
        (folder / f"{number}.yaml").touch()


def serves(folder: Path, path: str) -> Callable[[object], bool]:
    """Whether Envoy's files have a route for a path."""

    def check(_status: object) -> bool:
        files = published(folder / "out")
        return any(f'"{path}"'.encode() in content for name, content in files.items() if name.startswith("rds/"))

    return check


BAD: dict[str, tuple[Spoil, str]] = {
    "broken YAML": (text("kind: ["), "not valid YAML"),
    "an object that is there already": (text(pool(mode="FailOpen")), "already in"),
    "an alias bomb": (text(BOMB), "more than 200000 values"),
    "deep nesting": (text("[" * 100_000), "nested deeper than 64"),
    "fifty megabytes": (huge, "larger than 4194304 bytes"),
    "a link to nowhere": (link_to_nowhere, "cannot be read"),
    "no text": (lambda file: file.write_bytes(b"\xff\xfe"), "not UTF-8 at byte 0"),
    "a port that is no number": (text(service("s", spec="ports: [{port: x}]")), "expected a whole number"),
    "a fragment": (text("rules: []"), "a fragment with rules"),
}


async def test_what_worked_keeps_working_beside_every_kind_of_bad_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good, bad = folder / "all.yaml", folder / "bad.yaml"
    good.write_text(GOOD)
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["published"])
        for number, (kind, (spoil, message)) in enumerate(BAD.items()):
            served = published(tmp_path / "out")
            spoil(bad)
            shown = await until(session, url, lambda found: found["problems"])
            assert any(message in problem["message"] for problem in shown["problems"]), kind
            assert published(tmp_path / "out") == served, kind

            good.write_text(GOOD.replace("value: '/'", f"value: '/{number}'"))
            await until(session, url, serves(tmp_path, f"/{number}"))
            bad.unlink()
            repaired = await until(session, url, lambda found: not found["problems"])
            assert len(repaired["pools"]) == 1, kind


async def test_more_files_than_anybody_means_are_refused_and_what_worked_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "all.yaml").write_text(GOOD)
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["published"])
        served = published(tmp_path / "out")
        many_files(folder)
        shown = await until(session, url, lambda found: found["problems"])

        assert shown["problems"][0]["message"] == "more than 10000 manifests"
        assert published(tmp_path / "out") == served


@pytest.mark.parametrize(
    ("texts", "reason", "place"),
    [
        pytest.param(
            (route(to_pool(pool="gone"), name="s"),),
            "BackendNotFound",
            lambda found: found["routes"][1]["parents"][0]["conditions"],
            id="missing-pool",
        ),
        pytest.param(
            (pool("q", picker="nobody"), route(to_pool("/q", pool="q"), name="s")),
            "InvalidExtensionRef",
            lambda found: found["pools"][1]["parents"][0]["conditions"],
            id="missing-picker",
        ),
        pytest.param(
            (gateway("{name: http, port: 81, protocol: HTTP}", name="second"),),
            "PortUnavailable",
            lambda found: found["gateways"][1]["listeners"][0]["conditions"],
            id="two-gateways-on-one-mapped-port",
        ),
    ],
)
async def test_what_leads_nowhere_is_a_condition_of_its_object_alone(
    tmp_path: Path, texts: tuple[str, ...], reason: str, place: Callable[[Any], list[Any]]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "all.yaml").write_text("\n---\n".join((GOOD, *texts)))
    mapped = ("--port-map", "80=8080", "--port-map", "81=8080")
    async with running(tmp_path, *mapped) as (_, session, url):
        shown = await until(session, url, lambda found: found["published"])

    assert reason in [condition["reason"] for condition in place(shown)]
    conditions = [*shown["gateways"][0]["conditions"], *shown["routes"][0]["parents"][0]["conditions"]]
    assert {condition["status"] for condition in conditions} == {"True"}


async def test_files_that_come_and_go_while_they_are_read_harm_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "all.yaml").write_text(GOOD)
    async with running(tmp_path) as (process, session, url):
        await until(session, url, lambda found: found["published"])
        served = published(tmp_path / "out")
        for number in range(300):
            (folder / "flighty.yaml").write_text(service(f"s{number}"))
            await asyncio.sleep(0.002)
            (folder / "flighty.yaml").unlink()
        shown = await until(session, url, lambda found: not found["problems"])

        assert process.returncode is None
        assert len(shown["pools"]) == 1
        assert published(tmp_path / "out") == served


async def test_a_config_map_that_is_swapped_is_served_whole_at_every_moment(tmp_path: Path) -> None:
    """As kubelets do: a new folder, and `..data` renamed onto the old link."""
    folder = tmp_path / "in"

    def swap(version: int, content: str) -> None:
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "all.yaml").write_text(content)
        (folder / "..new").symlink_to(f"..{version}")
        (folder / "..new").replace(folder / "..data")

    swap(0, GOOD)
    (folder / "all.yaml").symlink_to("..data/all.yaml")
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["published"])
        for version in (1, 2, 3):
            swap(version, GOOD.replace("value: '/'", f"value: '/v{version}'"))
            shown = await until(session, url, serves(tmp_path, f"/v{version}"))
            assert shown["problems"] == []
            assert len(shown["pools"]) == 1


async def test_thousands_of_files_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "all.yaml").write_text(GOOD)
    for number in range(2000):
        (folder / f"service-{number}.yaml").write_text(service(f"s{number}"))
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["published"])
        (folder / "all.yaml").write_text(GOOD.replace("value: '/'", "value: '/other'"))
        shown = await until(session, url, serves(tmp_path, "/other"))

        assert shown["problems"] == []
