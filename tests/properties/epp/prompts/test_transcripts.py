"""Transcripts cut anywhere, or with a wrong value anywhere, are answered; equal prefixes stay equal."""

import copy
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.domain import Request
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest
from gateway.wire.errors import Rejection
from tests.unit.epp.prompts.test_canonical import BODIES

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
MODELS = st.sampled_from(["m", "Qwen/Qwen3-32B", "openai/gpt-oss-20b", "zai-org/GLM-5", "mistralai/Mistral-Small-3.1",
                          "moonshotai/Kimi-K2", "google/gemma-4", "meta-llama/Llama-4"])  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "role", "content", "id", "url", "source"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
Steps = tuple[str | int, ...]


def places(value: object, at: Steps = ()) -> Iterator[Steps]:
    """Every place of a document."""
    yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*at, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*at, index))


def answered(api: str, raw: bytes) -> InferenceRequest | Rejection:
    found = parse(Request(None, "POST", PATHS[api], {}, raw))
    assert isinstance(found, InferenceRequest | Rejection)
    if isinstance(found, Rejection):
        assert found.status in (400, 413)
        assert len(found.message) < 1000
    return found


@pytest.mark.parametrize("api", BODIES)
@given(st.data(), MODELS)
@settings(max_examples=150)
def test_a_wrong_value_anywhere_is_answered(api: str, data: st.DataObject, model: str) -> None:
    body = copy.deepcopy({"model": model, **BODIES[api]})
    *way, last = data.draw(st.sampled_from([steps for steps in places(body) if steps]))
    holder: object = body
    for step in way:
        holder = holder[step]  # type: ignore[index]
    holder[last] = data.draw(ODD)  # type: ignore[index]
    try:
        raw = orjson.dumps(body)
    except TypeError:  # an integer of more than 64 bits
        return
    answered(api, raw)


@pytest.mark.parametrize("api", BODIES)
@given(st.integers(0, 3000))
def test_a_transcript_cut_anywhere_is_refused(api: str, length: int) -> None:
    raw = orjson.dumps({"model": "m", **BODIES[api]})
    found = answered(api, raw[:length])
    assert isinstance(found, Rejection) == (0 < length < len(raw))


@pytest.mark.parametrize("api", BODIES)
@given(MODELS, st.integers(1, 7), st.text(max_size=20))
def test_what_follows_changes_nothing_before_it(api: str, model: str, turns: int, question: str) -> None:
    """Two continuations of one conversation share it whole."""
    field = "input" if api == "responses" else "messages"
    before = BODIES[api][field]
    assert isinstance(before, list)
    ends = ({"role": "user", "content": text} for text in (f"{question} one", f"{question} two"))
    one, other = (
        answered(api, orjson.dumps({"model": model, **BODIES[api], field: [*before[:turns], end]})) for end in ends
    )
    assert isinstance(one, InferenceRequest)
    assert isinstance(other, InferenceRequest)
    assert one.canonical[:-3] == other.canonical[:-3]
