"""The salt of a caller's prompts: alike within its scope, different beyond it, and never the client's own."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tenancy.salting import MEMBER, Salter, salted
from gateway.tenancy.tenants import Isolation

SALTER = Salter(b"secret")


@pytest.mark.parametrize(
    ("isolation", "others"),
    [
        (Isolation.TENANT, [("ab", "", "c"), ("a", "x", "c"), ("", "", "c")]),
        (Isolation.GROUP, [("a", "h", "c"), ("a", "", "c")]),
        (Isolation.USER, [("a", "g", "d"), ("ac", "g", ""), ("b", "g", "c")]),
    ],
)
def test_another_scope_has_another_salt(isolation: Isolation, others: list[tuple[str, str, str]]) -> None:
    own = SALTER.salt(isolation, "a", "g", "c")
    differs = {
        (tenant, group, client): SALTER.salt(isolation, tenant, group, client) != own
        for tenant, group, client in others
    }

    expected = {each: not (isolation is Isolation.TENANT and each[0] == "a") for each in others}
    assert differs == expected
    assert Salter(b"other").salt(isolation, "a", "g", "c") != own


def test_a_group_shares_and_everybody_does_without_isolation() -> None:
    assert SALTER.salt(Isolation.GROUP, "a", "g", "c") == SALTER.salt(Isolation.GROUP, "b", "g", "d")
    assert SALTER.salt(Isolation.NONE, "a", "g", "c") is None


@given(st.dictionaries(st.text(max_size=5) | st.just(MEMBER), st.booleans() | st.text(max_size=5), max_size=4))
def test_a_body_has_the_salt_once_and_is_otherwise_as_it_was(document: dict[str, object]) -> None:
    for body in (orjson.dumps(document), json.dumps(document, indent=1).encode(), b" \n" + orjson.dumps(document)):
        found = salted(body, document, "s4lt")

        pairs = json.loads(found, object_pairs_hook=lambda pairs: pairs)
        assert [value for key, value in pairs if key == MEMBER] == ["s4lt"]
        assert orjson.loads(found) == {**document, MEMBER: "s4lt"}


@pytest.mark.parametrize(
    "body", [b'{"cache_salt": "mine", "model": "m"}', b'{"cache\\u005fsalt": "mine", "model": "m"}',
             b'{"cache_salt": "one", "model": "m", "cache_salt": "two"}'],
)  # fmt: skip
def test_a_salt_that_the_client_chose_does_not_pass(body: bytes) -> None:
    found = salted(body, orjson.loads(body), "s4lt")

    assert b"mine" not in found
    assert orjson.loads(found) == {"model": "m", "cache_salt": "s4lt"}
