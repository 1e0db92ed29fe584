"""Any bytes get an answer, never an exception; a rewrite changes the model and nothing else."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.domain import Request
from epp.picking.rewrite import model_span, replace_model
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest
from gateway.wire.errors import Rejection

PATHS = st.sampled_from(["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",
                         "/v1/conversations", "/inference/v1/generate", "/other"])  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["model", "prompt", "messages", "input", "items", "tools", "system", "cache_salt", "stream", "x"]
)


@given(PATHS, st.binary(max_size=60))
def test_any_bytes_are_answered(path: str, body: bytes) -> None:
    assert isinstance(parse(Request(None, "POST", path, {}, body)), InferenceRequest | Rejection)


@given(PATHS, st.dictionaries(KEYS, VALUES))
@settings(max_examples=300)
def test_any_object_is_answered(path: str, body: dict[str, object]) -> None:
    found = parse(Request(None, "POST", path, {}, orjson.dumps(body)))
    if isinstance(found, Rejection):
        assert found.status == 400
    else:
        assert found.model is None or found.model == body["model"]


SPACE = st.sampled_from([b"", b" ", b"\n  ", b"\t"])


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """An object with a model, as before, the model's own bytes, and after, with odd but legal whitespace."""

    def member(key: str, value: object) -> bytes:
        return orjson.dumps(key) + draw(SPACE) + b":" + draw(SPACE) + orjson.dumps(value) + draw(SPACE)

    others = st.lists(st.tuples(st.text(max_size=6).filter(lambda key: key != "model"), VALUES), max_size=3)
    before = [member(key, value) for key, value in draw(others)]
    after = [member(key, value) for key, value in draw(others)]
    model = orjson.dumps(draw(st.text(max_size=10)))
    opening = draw(SPACE) + b"{" + draw(SPACE) + b"".join(part + b"," + draw(SPACE) for part in before)
    opening += b'"model"' + draw(SPACE) + b":" + draw(SPACE)
    closing = draw(SPACE) + b"".join(b"," + draw(SPACE) + part for part in after) + b"}" + draw(SPACE)
    return opening, model, closing


@given(written(), st.text(max_size=10))
@settings(max_examples=300)
def test_only_the_models_bytes_change(parts: tuple[bytes, bytes, bytes], model: str) -> None:
    opening, old, closing = parts
    body = opening + old + closing
    assert model_span(body) == (len(opening), len(opening) + len(old))
    changed = replace_model(body, model)
    assert changed == opening + orjson.dumps(model) + closing
    assert orjson.loads(changed) == {**orjson.loads(body), "model": model}


def test_of_a_repeated_key_the_last_counts_as_for_the_parser() -> None:
    body = b'{"model": "a", "x": {"model": "nested"}, "model": "b"}'
    assert replace_model(body, "c") == b'{"model": "a", "x": {"model": "nested"}, "model": "c"}'


def test_an_escaped_key_is_the_same_key() -> None:
    assert replace_model(b'{"mod\\u0065l": "a"}', "b") == b'{"mod\\u0065l": "b"}'


def test_a_body_without_model_stays() -> None:
    assert replace_model(b'{"x": "model"}', "b") == b'{"x": "model"}'


def test_brackets_and_quotes_within_strings_of_other_values_do_not_mislead() -> None:
    body = rb'{"x": [{"y": "]}\"model\": "}, "\\"], "z": {}, "model": "a" }'
    assert replace_model(body, "b") == body.replace(b'"a"', b'"b"')
