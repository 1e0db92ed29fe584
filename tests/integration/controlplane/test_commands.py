"""The commands that end: what they print, and their exit status."""

import asyncio
from pathlib import Path

import pytest

from controlplane.__main__ import main
from tests.conftest import free_ports
from tests.integration.controlplane.test_service import GOOD, HOST, running, until
from tests.unit.controlplane.manifest_texts import gateway, pool, route, to_pool


def test_check_names_file_line_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports: [{port: x}]\n"
    )

    with pytest.raises(SystemExit) as end:
        main(["check", "--config-dir", str(tmp_path)])

    assert end.value.code == 1
    expected = f"{tmp_path}/a.yaml:5:12: spec.ports[0].port: expected a whole number, got 'x' (Service default/s)\n"
    assert capsys.readouterr().err == expected


def test_check_notes_what_is_right_and_yet_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(
        "\n---\n".join((gateway(), route(to_pool(pool="gone")), route(name="s", parents="{name: h}")))
    )

    with pytest.raises(SystemExit) as end:
        main(["check", "--config-dir", str(tmp_path)])

    assert end.value.code == 0
    shown = capsys.readouterr()
    assert shown.out == "gateways: 1, routes: 2, pools: 0\n"
    assert shown.err.splitlines() == [
        "note: HTTPRoute default/r: ResolvedRefs is false: BackendNotFound: no InferencePool default/gone",
        "note: HTTPRoute default/s: Accepted is false: NoMatchingParent: no Gateway default/h",
    ]


def test_check_says_what_there_is_and_what_two_claim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = [
        "apiVersion: v1\nkind: ConfigMap\n"
        f"metadata: {{name: {base}, labels: {{inference.networking.k8s.io/bbr-managed: 'true'}}}}\n"
        f"data: {{baseModel: {base}, adapters: '[shared]'}}\n"
        for base in ("a", "b")
    ]
    slices = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: p, labels: {app: p}}\n"
    slices += "addressType: IPv4\nendpoints: [{addresses: ['10.0.0.1', '10.0.0.2']}]\n"
    (tmp_path / "a.yaml").write_text("\n---\n".join((GOOD, slices, *maps)))

    with pytest.raises(SystemExit) as end:
        main(["check", "--config-dir", str(tmp_path)])

    shown = capsys.readouterr()
    assert end.value.code == 0
    assert shown.out == "gateways: 1, routes: 1, pools: 1; pools and their endpoints: default/p (2)\n"
    assert "data: 'shared' already belongs to 'a'" in shown.err


NAMELESS = "names no kind, which means a Service; there is none, so InferencePool"


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("article", ["spec.selector: the API v1 wants", "spec.extensionRef: the API v1 calls it", NAMELESS, NAMELESS]),
        ("kaito", []),
        ("ai-gateway", ["backendRefs[0].kind: upstream wants a group", "spec.targetPorts: no port"]),
    ],
)
def test_published_manifests_pass_as_they_are_with_every_deviation_explained(
    name: str, warnings: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["check", "--config-dir", str(root / "tests/data/manifests" / name)])

    notes = capsys.readouterr().err.splitlines()
    assert end.value.code == 0
    assert len(notes) == len(warnings), notes
    assert all(warning in note for warning, note in zip(warnings, notes, strict=True))


def test_check_tells_all_that_is_wrong_and_what_is_noted_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = pool().replace("targetPorts", "targetPort").replace("kind: InferencePool", "kind: InferencePool\nextra: 1")
    (tmp_path / "a.yaml").write_text("\n---\n".join((wrong, gateway(), route(to_pool(pool="gone")))))
    (tmp_path / "b.yaml").write_text("a: [")

    with pytest.raises(SystemExit) as end:
        main(["check", "--config-dir", str(tmp_path)])

    assert end.value.code == 1
    shown = capsys.readouterr().err.splitlines()
    assert [line.replace(f"{tmp_path}/", "").partition(" (")[0] for line in shown] == [
        "a.yaml:3:1: extra: unknown field; valid: apiVersion, kind, metadata, spec, status",
        "a.yaml:7:3: spec.targetPort: unknown field; did you mean 'targetPorts'?",
        "b.yaml:1: not valid YAML: while parsing a flow node, did not find expected node content",
        "note: a.yaml:5:1: spec.targetPorts: no port: only endpoints with a port of their own are served",
        "note: HTTPRoute default/r: ResolvedRefs is false: BackendNotFound: no InferencePool default/gone",
    ]


def test_a_folder_that_is_not_there_cannot_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["check", "--config-dir", str(tmp_path / "gone")])

    assert end.value.code == 2
    assert capsys.readouterr().err == f"{tmp_path}/gone: no such folder\n"


async def test_status_of_a_running_control_plane_is_that_of_its_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "in" / "all.yaml"
    manifest.parent.mkdir()
    manifest.write_text(GOOD)
    tables = []
    async with running(tmp_path) as (_, session, url):
        await until(session, url, lambda found: found["published"])
        for source in (["--url", url], ["--config-dir", str(tmp_path / "in")]):
            with pytest.raises(SystemExit) as end:
                await asyncio.to_thread(main, ["status", *source])
            tables.append((end.value.code, capsys.readouterr().out))

    assert tables[0] == tables[1]
    assert tables[0][0] == 0
    assert [line.split()[:3] for line in tables[0][1].splitlines()[:2]] == [
        ["GATEWAY", "ADDRESS", "PROGRAMMED"],
        ["default/g", "True", "1"],
    ]


def test_a_control_plane_that_does_not_answer_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    with pytest.raises(SystemExit) as end:
        main(["status", "--url", f"http://{HOST}:{port}"])

    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"controlplane: http://{HOST}:{port} does not answer: ")
