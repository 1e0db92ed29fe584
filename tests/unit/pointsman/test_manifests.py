"""What is written for pools of servers: manifests that the control plane takes without a word."""

import stat
from pathlib import Path

import pytest
import yaml

from controlplane.__main__ import main
from pointsman.backends.folder import ManifestFolder
from pointsman.backends.manifests import KEY_FILE, Picker, files_of
from pointsman.backends.pools import Pool
from pointsman.backends.server import server_of

PICKER = Picker("127.0.0.1", 9002)
PLAIN = server_of("http://10.0.0.5:8000")
NAMED = server_of("http://localhost:8000")  # a name that resolves
TLS = server_of("https://localhost")
SHAPES = {
    "one pool": ((Pool("qwen", ("Qwen/Qwen3-32B",), ("a",), (PLAIN, NAMED)),), None),
    "two pools": ((Pool("x", ("x",), (), (PLAIN,)), Pool("y", ("y",), ("b",), (NAMED,))), None),
    "servers with TLS": ((Pool("x", ("x",), (), (TLS,)),), None),
    "servers with TLS that want a key": ((Pool("x", ("x",), (), (TLS, PLAIN)),), "secret"),
    "IPv6": ((Pool("x", ("x",), (), (server_of("http://[fd00::1]:8000"),)),), "secret"),
    "hundreds of adapters": (
        (Pool("x", ("x",), tuple(f"a{n}" for n in range(300)), (PLAIN,)), Pool("y", ("y",), (), (NAMED,))), None,
    ),
    "no pool yet": ((), None),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_the_control_plane_takes_them_without_a_word(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pools, key = SHAPES[shape]
    ManifestFolder(tmp_path).write(files_of(pools, PICKER, key))

    with pytest.raises(SystemExit) as ended:
        main(["check", "--config-dir", str(tmp_path)])

    printed = capsys.readouterr()
    assert (ended.value.code, printed.err) == (0, "")


def test_every_model_of_two_pools_has_a_match_within_the_limit_of_a_rule() -> None:
    pools, _ = SHAPES["hundreds of adapters"]
    documents = [each for text in files_of(pools, PICKER, None).values() for each in yaml.safe_load_all(text)]
    rules = [rule for each in documents if each["kind"] == "HTTPRoute" for rule in each["spec"]["rules"]]
    matched = [match["headers"][0]["value"] for rule in rules for match in rule["matches"]]

    assert sorted(matched) == sorted(model for pool in pools for model in pool.models)
    assert max(len(rule["matches"]) for rule in rules) <= 64


def test_only_the_owner_reads_the_key(tmp_path: Path) -> None:
    pools, key = SHAPES["IPv6"]
    ManifestFolder(tmp_path).write(files_of(pools, PICKER, key))

    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_file_that_a_person_edited_stays_and_is_named(tmp_path: Path) -> None:
    folder = ManifestFolder(tmp_path)
    folder.write({"a.yaml": "1", "b.yaml": "1"})
    (tmp_path / "a.yaml").write_text("mine")

    assert folder.write({"a.yaml": "2", "b.yaml": "2"}) == ("a.yaml",)
    assert (tmp_path / "a.yaml").read_text() == "mine"
    assert (tmp_path / "b.yaml").read_text() == "2"


def test_a_file_that_is_no_longer_wanted_is_removed(tmp_path: Path) -> None:
    folder = ManifestFolder(tmp_path)
    folder.write({"a.yaml": "1", "b.yaml": "1"})

    folder.write({"a.yaml": "1"})

    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]
