"""What is wrong with a body that no route is for."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.transports.http.body import objection

JSON = {"content-type": "application/json; charset=utf-8"}


@pytest.mark.parametrize("model", [5, 1.5, True, ["x"], {"a": "b"}, "a\nb", "m" * 1025])
def test_a_model_that_is_no_name_is_named(model: object) -> None:
    found = objection(JSON, orjson.dumps({"model": model}))

    assert found is not None
    assert (found.status, found.code, found.param) == (400, "invalid_request", "model")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"model": null}', b'{"model": ""}', b'{"model": "nobody\'s"}'])
def test_a_body_without_a_model_or_with_a_good_one_is_left_to_the_routes(body: bytes) -> None:
    assert objection(JSON, body) is None


def test_a_model_that_the_proxy_could_not_read_for_its_compression_is_told_so() -> None:
    found = objection({**JSON, "content-encoding": "gzip"}, b'{"model": "m"}')

    assert found is not None
    assert (found.status, found.param) == (415, "content-encoding")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream"])
def test_only_what_says_that_it_is_json_must_be(content_type: str) -> None:
    assert objection({"content-type": content_type}, b"{") is None


@given(st.binary())
def test_any_bytes_are_judged(body: bytes) -> None:
    found = objection({"content-type": "application/vnd.any+json"}, body)

    assert found is None or found.status == 400
