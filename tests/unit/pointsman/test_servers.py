"""A model server by its address, and what it says of its models."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.server import InvalidBackendError, Models, Server, models_of, server_of

SERVER = server_of("http://10.0.0.5:8000")


def listed(*items: object) -> bytes:
    return json.dumps({"object": "list", "data": items}).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://10.0.0.5:8000", Server("http://10.0.0.5:8000", "10.0.0.5", 8000)),
        ("10.0.0.5:8000", Server("http://10.0.0.5:8000", "10.0.0.5", 8000)),
        ("http://models/v1/", Server("http://models:80", "models", 80)),
        ("https://models.example", Server("https://models.example:443", "models.example", 443, is_tls=True)),
        ("http://[::1]:8000", Server("http://[::1]:8000", "::1", 8000)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, expected: Server) -> None:
    assert server_of(text) == expected


@pytest.mark.parametrize(
    "text", ["ftp://a", "http://", "http://a:70000", "http://a/other", "http://a?x=1", "http://u:p@a", "http://[::1"]
)
def test_an_address_that_is_none_is_refused_by_its_own_words(text: str) -> None:
    with pytest.raises(InvalidBackendError, match=r"--backend"):
        server_of(text)


@pytest.mark.parametrize(
    ("url", "family"), [("http://10.0.0.5", "IPv4"), ("http://[fd00::1]", "IPv6"), ("http://a", "FQDN")]
)
def test_a_host_is_an_address_or_a_name(url: str, family: str) -> None:
    assert server_of(url).family == family


def test_an_item_with_a_parent_is_an_adapter_and_the_others_name_the_base_model() -> None:
    body = listed(
        {"id": "qwen", "root": "Qwen/Qwen3-32B", "parent": None},
        {"id": "default", "root": "Qwen/Qwen3-32B"},
        {"id": "reviews", "root": "/adapters/reviews", "parent": "qwen"},
    )

    assert models_of(SERVER, body) == Models(("qwen", "default"), "Qwen/Qwen3-32B", ("reviews",))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": {}}', b"\xff"])
def test_an_answer_that_is_no_model_list_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidBackendError, match="no model list"):
        models_of(SERVER, body)


def test_a_server_without_a_model_is_refused() -> None:
    with pytest.raises(InvalidBackendError, match="lists no model"):
        models_of(SERVER, listed({"id": "only-an-adapter", "parent": "x"}))


VALUES = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "id", "parent", "root"]), inner)
    ),
)


@given(st.binary(max_size=200) | st.builds(lambda value: json.dumps(value).encode(), VALUES))
def test_whatever_a_server_answers_it_is_models_or_refused(body: bytes) -> None:
    with suppress(InvalidBackendError):
        assert models_of(SERVER, body).names
