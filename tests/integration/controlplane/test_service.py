"""The service as a process sees it: commands, files, the operators' port."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest

from controlplane.__main__ import main
from controlplane.command_line import arguments, options
from controlplane.options import Options, PickerTransport
from controlplane.xds.resources import names
from gateway.kube.objects import ObjectName
from tests.conftest import free_ports
from tests.integration.controlplane.test_ads import Proxy
from tests.unit.controlplane.folders import published
from tests.unit.controlplane.manifest_texts import gateway, pool, route, service, to_pool
from tests.unit.controlplane.plan.test_listeners import https, secret

HOST = "127.0.0.1"
GOOD = "\n---\n".join((gateway(), route(to_pool()), pool(), service()))


@asynccontextmanager
async def running(
    folder: Path, *more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, aiohttp.ClientSession, str]]:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane", "run", "--config-dir", str(folder / "in"), "--output-dir"),
        *(str(folder / "out"), "--http-port", str(port), *more),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            yield process, session, f"http://{HOST}:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def until(session: aiohttp.ClientSession, url: str, condition: Callable[[Any], object]) -> Any:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/status") as answer:
                    found = await answer.json()
                    if condition(found):
                        return found
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return answer.status


async def test_edits_are_published_mistakes_are_reported_and_the_last_good_files_stay(tmp_path: Path) -> None:
    manifest = tmp_path / "in" / "all.yaml"
    manifest.parent.mkdir()
    manifest.write_text(GOOD)
    async with running(tmp_path) as (process, session, url):
        shown = await until(session, url, lambda found: found["published"])
        assert [item["name"] for item in shown["pools"]] == ["p"]
        first = published(tmp_path / "out")
        assert set(first) >= {"lds.json", "cds.json", "rds/listener_80_bbr_ext_proc.json", "eds/pool_default_p.json"}
        assert [await status(session, url + path) for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3

        manifest.write_text(GOOD.replace("number: 8000", "number: 80000"))
        broken = await until(session, url, lambda found: found["problems"])
        (problem,) = broken["problems"]
        assert (problem["file"], problem["field"]) == (str(manifest), "spec.targetPorts[0].number")
        assert problem["line"] > 1
        assert published(tmp_path / "out") == first
        assert await status(session, f"{url}/readyz") == 200

        manifest.write_text(GOOD.replace("value: '/'", "value: '/v1'"))
        await until(session, url, lambda found: not found["problems"])
        assert b'"path_separated_prefix": "/v1"' in published(tmp_path / "out")["rds/listener_80_bbr_ext_proc.json"]

        process.terminate()
        _, logged = await process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in logged.decode().splitlines()]
    assert [line["place"] for line in lines if line["level"] == "error"] == [
        f"{manifest}:{problem['line']}: spec.targetPorts[0].number: {problem['message']}"
    ]


async def test_a_start_with_a_mistake_serves_nothing_until_it_is_repaired(tmp_path: Path) -> None:
    manifest = tmp_path / "in" / "all.yaml"
    manifest.parent.mkdir()
    manifest.write_text("kind: [")
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["problems"])
        assert await status(session, f"{url}/readyz") == 503

        manifest.write_text(GOOD)
        await until(session, url, lambda found: found["published"])
        assert await status(session, f"{url}/readyz") == 200


async def test_an_invalid_document_costs_its_object_and_nothing_else(tmp_path: Path) -> None:
    manifest = tmp_path / "in" / "all.yaml"
    manifest.parent.mkdir()
    manifest.write_text(GOOD)
    other = to_pool("/other")
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["published"])
        wrong = GOOD.replace("number: 8000", "number: 80000")
        manifest.write_text("\n---\n".join((wrong, route(other, name="s"), route("{filters: 1}", name="t"))))
        shown = await until(session, url, lambda found: found["problems"])

        assert sorted(problem["field"] for problem in shown["problems"]) == [
            "spec.rules[0].filters",
            "spec.targetPorts[0].number",
        ]
        assert [item["name"] for item in shown["routes"]] == ["r", "s"], "t never was good"
        files = published(tmp_path / "out")
        assert "eds/pool_default_p.json" in files, "p stays as it was"
        assert b'"path_separated_prefix": "/other"' in files["rds/listener_80_bbr_ext_proc.json"]


def test_strict_writes_nothing_while_anything_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "all.yaml").write_text("\n---\n".join((GOOD, route("{filters: 1}", name="t"))))
    ends = []
    for more in (["--strict"], []):
        with pytest.raises(SystemExit) as end:
            main(["render", "--config-dir", str(source), "--output-dir", str(tmp_path / "out"), *more])
        ends.append((end.value.code, sorted(published(tmp_path / "out"))[:1]))

    assert ends == [(1, []), (1, ["cds.json"])]
    assert "spec.rules[0].filters" in capsys.readouterr().err


def test_render_writes_private_keys_only_when_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "all.yaml").write_text("\n---\n".join((gateway(https()), secret(), route(to_pool()), pool(), service())))
    arguments = ["render", "--config-dir", str(source), "--output-dir", str(tmp_path / "out")]
    found = []
    for more in ([], ["--with-secrets"], []):
        with pytest.raises(SystemExit) as end:
            main([*arguments, *more])
        assert end.value.code == 0
        found.append("sds/secret_default_c.json" in published(tmp_path / "out"))

    assert found == [False, True, True], "what is there stays"
    with pytest.raises(SystemExit):
        main(["status", "-o", "json", "--config-dir", str(source)])
    shown = capsys.readouterr()
    assert "TUlJQg" not in shown.out + shown.err


async def test_over_ads_nothing_is_programmed_before_a_proxy_took_it(tmp_path: Path) -> None:
    manifest = tmp_path / "in" / "all.yaml"
    manifest.parent.mkdir()
    manifest.write_text(GOOD)
    (xds,) = free_ports(1)

    def programmed(shown: Any) -> str:
        conditions = shown["gateways"][0]["conditions"] if shown["gateways"] else []
        return next((str(item["reason"]) for item in conditions if item["type"] == "Programmed"), "")

    async with (
        running(tmp_path, "--xds", "grpc", "--xds-port", str(xds)) as (_, session, url),
        grpc.aio.insecure_channel(f"{HOST}:{xds}") as channel,
    ):
        await until(session, url, lambda found: programmed(found) == "Pending")
        proxy = Proxy(channel, "edge")
        await proxy.start()
        await proxy.say(names.ROUTES_TYPE, names=("listener_80_bbr_ext_proc",))
        await proxy.take()
        shown = await until(session, url, lambda found: programmed(found) == "Programmed")
        assert shown["envoys"] == [{"node": "edge", "state": "taken", "message": ""}]
        (accepted, *_) = shown["gateways"][0]["conditions"]
        assert accepted["type"] == "Accepted"

        manifest.write_text(GOOD.replace("value: '/'", "value: '/v1'"))
        response = await proxy.hear()
        assert response.type_url == names.ROUTES_TYPE, "and nothing else"
        await proxy.say(names.ROUTES_TYPE, response.nonce, "no such path", names=("listener_80_bbr_ext_proc",))
        refused = await until(session, url, lambda found: programmed(found) == "Invalid")
        assert "no such path" in json.dumps(refused["gateways"])
        assert refused["envoys"][0]["state"] == "refused"
        assert refused["gateways"][0]["conditions"][0] == accepted, "this did not change, nor did its time"


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [
                *(sys.executable, "-m", "controlplane", "run", "--config-dir", str(tmp_path)),
                *("--output-dir", str(tmp_path), "--http-port", port, "--log-level", "error"),
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.startswith("controlplane: ")
    assert port in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("overlay", ["demo-local", "demo-compose"])
def test_the_demo_is_right_and_its_status_is_good(overlay: str, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folders = ["--config-dir", str(root / "config/demo"), "--config-dir", str(root / "config" / overlay)]
    with pytest.raises(SystemExit) as end:
        main(["status", "-o", "json", *folders])

    shown = json.loads(capfd.readouterr().out)
    assert end.value.code == 0
    assert shown["problems"] == shown["notes"] == []
    conditions = [
        condition["status"]
        for item in (*shown["gateways"], *shown["routes"], *shown["pools"])
        for condition in [
            *item.get("conditions", []),
            *(c for parent in item.get("parents", []) for c in parent["conditions"]),
        ]
    ]
    assert len(conditions) >= 8
    assert set(conditions) == {"True"}


def test_render_writes_the_files_once(tmp_path: Path, root: Path) -> None:
    folders = ["--config-dir", str(root / "config/demo"), "--config-dir", str(root / "config/demo-local")]
    with pytest.raises(SystemExit) as end:
        main(["render", *folders, "--output-dir", str(tmp_path), "--port-map", "80=8080", "--no-bbr"])

    assert end.value.code == 0
    assert (
        json.loads(published(tmp_path)["lds.json"])["resources"][0]["address"]["socket_address"]["port_value"] == 8080
    )


def test_the_command_line_becomes_options(tmp_path: Path) -> None:
    given = arguments(
        [
            *(
                "run",
                "--config-dir",
                "a",
                "--output-dir",
                str(tmp_path),
                "--port-map",
                "80=8080",
                "--port-map",
                "443=8443",
            ),
            *("--bbr-address", "[::1]:9004", "--usage-extraction", "off", "--picker", "auto", "--body-limit", "7"),
            *("--default-picker", "default/epp:9002"),
        ]
    )

    assert options(given) == Options(
        xds_dir=str(tmp_path),
        port_map={80: 8080, 443: 8443},
        bbr=("::1", 9004),
        usage_extraction=False,
        picker=PickerTransport.AUTO,
        default_picker=(ObjectName("default", "epp"), 9002),
        body_limit=7,
    )


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--port-map", "80"),
        ("--port-map", "80=0"),
        ("--bbr-address", "bbr"),
        ("--body-limit", "0"),
        ("--picker", "x"),
        ("--default-picker", "epp:9002"),
        ("--xds", "rest"),
    ],
)
def test_a_wrong_flag_is_refused_with_its_value(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        arguments(["run", "--config-dir", "a", "--output-dir", "b", flag, value])

    assert end.value.code == 2
    assert repr(value) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--xds files needs --output-dir"),
        (("--xds", "grpc", "--xds-host", "0.0.0.0"), "--xds-host 0.0.0.0 needs --xds-cert-path"),
    ],
)
def test_what_is_missing_beside_a_flag_is_named(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        arguments(["run", "--config-dir", "a", *flags])

    assert end.value.code == 2
    assert message in capsys.readouterr().err
