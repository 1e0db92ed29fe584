"""A keys file: clients by the hashes of their keys. One line that is wrong refuses it, and no message has a hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.problems import ProblemsError
from gateway.tenancy.keys import Keys, client, digest, read

ALICE = client("alice", "team-a", "pm-alice")
BOB = client("bob", "team-b", "pm-bob")


def keys(*lines: str) -> Keys:
    return read("".join(lines), "keys.txt")


def test_a_key_belongs_to_its_client_exactly() -> None:
    found = keys("# people\n\n", ALICE.line, BOB.line)

    assert found.owner("pm-alice") == ALICE
    assert [found.owner(key) for key in ("", "pm-Alice", "pm-alice ", "pm-alic", ALICE.digest)] == [None] * 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alice team-a\n", "keys.txt:1: expected a client, a tenant and a hash, got 2 words"),
        ("al/ice team-a sha256:0\n", "keys.txt:1: not a name: 'al/ice'"),
        (f"alice team-a md5:{ALICE.digest}\n",
         "keys.txt:1: client alice: expected sha256: and 64 hexadecimal digits as the hash"),
        (ALICE.line + ALICE.line, "keys.txt: client alice is there twice"),
        (ALICE.line + ALICE.line.replace("alice", "eve"), "keys.txt: clients alice and eve have the same key"),
    ],
)  # fmt: skip
def test_a_line_that_is_wrong_is_named_without_its_hash(text: str, message: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        keys(text)

    assert message in str(caught.value)
    assert ALICE.digest not in str(caught.value)


def test_a_key_is_no_part_of_any_text() -> None:
    assert ALICE.digest not in f"{ALICE!r} {keys(ALICE.line)!r}"


@given(st.text(max_size=50))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = keys(text)
    except ProblemsError:
        return
    assert all(len(each) == len(digest("")) for each in found.by_digest)
