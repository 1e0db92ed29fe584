"""The keys file of a router: checked at the start, read again when it changes, and left as it was by a mistake."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.router.key_files import KeyFile, KeyFileError, load, salt_secret
from gateway.tenancy.keys import client

ALICE, BOB = client("alice", "a", "key-a"), client("bob", "b", "key-b")


class Ended(Exception):  # noqa: N818 - the test's own word
    """No look is left."""


def looks(*edits: Callable[[], object]) -> Callable[[float], Awaitable[None]]:
    """Before each look something happens to the file."""
    left = iter(edits)

    async def sleep(_seconds: float) -> None:
        edit = next(left, None)
        if edit is None:
            raise Ended
        edit()

    return sleep


def clients(file: KeyFile) -> list[str]:
    return sorted(each.name for each in file.keys.by_digest.values())


async def followed(path: Path, *edits: Callable[[], object]) -> list[str]:
    path.write_text(ALICE.line)
    file = KeyFile(path, looks(*edits))
    with pytest.raises(Ended):
        await file.run()
    return clients(file)


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    new = tmp_path / "new"
    new.write_text(BOB.line)

    assert await followed(path, lambda: None, lambda: path.write_text(ALICE.line + BOB.line)) == ["alice", "bob"]
    assert await followed(path, lambda: new.replace(path)) == ["bob"]


async def test_a_mistake_or_a_file_that_is_gone_leaves_the_clients_that_were_known(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"

    assert await followed(path, lambda: path.write_text("one two\n")) == ["alice"]
    assert await followed(path, path.unlink) == ["alice"]
    assert await followed(path, path.unlink, lambda: path.write_text(BOB.line)) == ["bob"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"\xff", "not UTF-8"), (b"one", "keys.txt:1")]
)
def test_what_cannot_be_used_at_the_start_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "keys.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(KeyFileError, match=said):
        load(path)


def test_a_secret_that_is_too_short_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "salt"
    path.write_text("guessable")
    with pytest.raises(KeyFileError) as caught:
        salt_secret(path)

    assert "expected at least 16 random bytes, got 9" in str(caught.value)
    assert "guessable" not in str(caught.value)


def test_looking_takes_no_time(tmp_path: Path) -> None:
    """A file that stays as it is, is not read again."""
    path = tmp_path / "keys.txt"
    path.write_text(ALICE.line)
    file = KeyFile(path, looks(lambda: None))
    before = file.keys
    with pytest.raises(Ended):
        asyncio.run(file.run())

    assert file.keys is before
