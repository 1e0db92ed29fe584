"""What Envoy would change, in lines."""

from pathlib import Path

import pytest

from controlplane.__main__ import main
from tests.unit.controlplane.manifest_texts import gateway, pool, route, service, to_pool
from tests.unit.controlplane.plan.test_listeners import KEY, https, secret

BASE = (gateway(), route(to_pool()), pool(), service())


def changed(
    folder: Path, before: tuple[str, ...], after: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> tuple[object, list[str]]:
    for name, texts in (("a", before), ("b", after)):
        (folder / name).mkdir()
        (folder / name / "all.yaml").write_text("\n---\n".join(texts))
    with pytest.raises(SystemExit) as end:
        main(["diff", str(folder / "a"), str(folder / "b")])
    return end.value.code, capsys.readouterr().out.splitlines()


def test_the_same_objects_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert changed(tmp_path, BASE, BASE, capsys) == (0, [])


def test_an_edit_shows_the_lines_of_the_resources_that_it_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = (gateway(), route(to_pool("/v1"), to_pool(pool="q")), pool("q"), pool(), service())
    code, lines = changed(tmp_path, BASE, edited, capsys)

    assert code == 1
    assert [line for line in lines if line[0] in "+-~"] == [
        "+ ClusterLoadAssignment pool_default_q",
        "+ Cluster pool_default_q",
        "~ RouteConfiguration listener_80_bbr_ext_proc",
    ]
    assert any(line.lstrip().startswith("+") and '"path_separated_prefix": "/v1"' in line for line in lines)


def test_a_key_that_changes_is_named_and_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = (gateway(https()), route(to_pool()), pool(), service())
    other = secret(key=KEY.replace("TUlJ", "TUlK"))
    code, lines = changed(tmp_path, (*texts, secret()), (*texts, other), capsys)

    assert (code, lines) == (1, ["~ Secret secret_default_c"])


def test_what_cannot_be_compared_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = changed(tmp_path, BASE, (*BASE, "kind: ["), capsys)

    assert (code, lines) == (2, [])
    with pytest.raises(SystemExit) as end:
        main(["diff", str(tmp_path / "a"), str(tmp_path / "gone")])
    assert end.value.code == 2
    assert "no such folder" in capsys.readouterr().err
