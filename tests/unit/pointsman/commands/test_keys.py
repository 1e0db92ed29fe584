"""`pointsman keys`: a key is shown once, the file has its hash alone, and a mistake changes nothing."""

import json
from pathlib import Path

import pytest

from gateway.tenancy.keys import read
from pointsman.command_line import arguments


def run(file: Path, *words: str) -> int:
    given = arguments(["keys", *words, "--keys-file", str(file)])
    status = given.run(given)
    assert isinstance(status, int)
    return status


def test_a_new_key_is_its_clients_until_it_is_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.txt"
    assert run(file, "new", "alice", "--tenant", "a") == 0
    key = capsys.readouterr().out.strip()
    assert run(file, "new", "bob") == 0
    capsys.readouterr()

    assert key not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    owner = read(file.read_text(), "f").owner(key)
    assert owner is not None
    assert (owner.name, owner.tenant) == ("alice", "a")
    assert run(file, "list") == 0
    assert capsys.readouterr().out == "alice  a\nbob  bob\n"
    assert run(file, "revoke", "alice", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"client": "alice", "revoked": True}
    assert read(file.read_text(), "f").owner(key) is None
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "alice"), "client alice has a key in"),
        (("new", "a b"), "not a name for a client: 'a b'"),
        (("revoke", "carol"), "no client carol in"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "keys.txt"
    run(file, "new", "alice")
    before = file.read_text()

    assert run(file, *words) == 1
    assert said in capsys.readouterr().err
    assert file.read_text() == before


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.txt"
    assert run(file, "list") == 1
    file.write_text("one two\n")
    assert run(file, "new", "alice") == 1

    assert "expected a client, a tenant and a hash, got 2 words" in capsys.readouterr().err
    assert file.read_text() == "one two\n"
