"""Answers: length, stop conditions, tools and schemas."""

from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_sim.text import answers, corpus, schemas
from model_sim.text.answers import Sampling, ToolCall
from model_sim.text.tokenizer import BuiltinTokenizer

TOKENIZER = BuiltinTokenizer()
STOCK = corpus.build(Random(1), TOKENIZER)


def drawn(seed: int = 0, **sampling: Any) -> answers.Answer:
    return answers.random_answer(Sampling(**{"max_tokens": 1000, **sampling}), Random(seed), STOCK, TOKENIZER)


def test_natural_answers_end_with_a_sentence_and_vary_in_length() -> None:
    many = [drawn(seed) for seed in range(200)]
    lengths = sorted(len(answer.tokens) for answer in many)

    assert all(answer.finish_reason == "stop" and answer.text.endswith(".") for answer in many)
    assert 100 < lengths[100] < 180
    assert lengths[-1] > 2 * lengths[100]


def test_an_answer_cut_by_max_tokens_ends_with_length() -> None:
    answer = drawn(max_tokens=5)

    assert (len(answer.tokens), answer.finish_reason) == (5, "length")


def test_ignore_eos_gives_exactly_max_tokens() -> None:
    assert all(len(drawn(seed, max_tokens=333, ignore_eos=True).tokens) == 333 for seed in range(20))


def test_min_tokens_is_kept() -> None:
    assert all(len(drawn(seed, min_tokens=400).tokens) >= 400 for seed in range(20))


def test_a_stop_string_ends_the_answer_before_it_and_its_tokens_count() -> None:
    whole = drawn(3)
    stop = whole.text[20:26]
    answer, included = drawn(3, stop=(stop,)), drawn(3, stop=(stop,), include_stop=True)

    place = whole.text.index(stop)
    assert answer.text == whole.text[:place]
    assert included.text == whole.text[: place + len(stop)]
    assert (answer.finish_reason, answer.stop_reason) == ("stop", stop)
    assert len("".join(whole.pieces[: len(answer.tokens)])) >= place + len(stop)


def test_a_stop_token_ends_the_answer_and_is_not_shown() -> None:
    whole = drawn(3)
    token = whole.tokens[7]
    answer = drawn(3, stop_token_ids=frozenset((token,)))

    end = list(whole.tokens).index(token)
    assert answer.text == "".join(whole.pieces[:end])
    assert (len(answer.tokens), answer.stop_reason) == (end + 1, token)


def test_stop_conditions_before_min_tokens_do_not_count() -> None:
    whole = drawn(3)
    token = whole.tokens[2]
    answer = drawn(3, stop_token_ids=frozenset((token,)), min_tokens=30)

    assert len(answer.tokens) > 30


def test_an_echo_repeats_and_is_cut_or_filled() -> None:
    assert answers.text_answer("hello", Sampling(max_tokens=9), TOKENIZER).text == "hello"
    assert answers.text_answer("hello there", Sampling(max_tokens=1), TOKENIZER).finish_reason == "length"
    filled = answers.text_answer("hello", Sampling(max_tokens=9, ignore_eos=True), TOKENIZER)
    assert len(filled.tokens) == 9
    assert len(answers.text_answer("", Sampling(max_tokens=3, ignore_eos=True), TOKENIZER).tokens) == 3


def test_tool_calls_that_do_not_fit_end_with_length() -> None:
    calls = (ToolCall("1", "f", '{"a": 1}'), ToolCall("2", "g", "{}"))
    whole = answers.tool_answer(calls, Sampling(max_tokens=500), TOKENIZER)
    cut = answers.tool_answer(calls, Sampling(max_tokens=3), TOKENIZER)

    assert whole.finish_reason == "tool_calls"
    assert set(whole.call_of_token) == {0, 1}
    assert (len(cut.tokens), cut.finish_reason) == (3, "length")


def test_an_instance_fits_a_common_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 12},
            "kind": {"enum": ["x", "y"]},
            "count": {"type": "integer", "minimum": 3, "maximum": 4},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
            "ratio": {"type": "number", "minimum": 1, "maximum": 2},
            "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "when": {"type": "string", "format": "date"},
            "nothing": {"type": ["null", "string"]},
            "fixed": {"const": 7},
        },
        "$defs": {"tag": {"type": "string", "maxLength": 3}},
    }
    value = schemas.instance(schema, Random(1))

    assert len(value["name"]) >= 12
    assert value["kind"] in ("x", "y")
    assert value["count"] in (3, 4)
    assert len(value["tags"]) >= 2
    assert all(len(tag) <= 3 for tag in value["tags"])
    assert 1 <= value["ratio"] <= 2
    assert isinstance(value["either"], bool)
    assert (value["nothing"], value["fixed"], value["when"]) == (None, 7, "2026-01-15")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["object", "array", "string", "#/a", "integer"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "enum", "$ref", "anyOf", "minItems", "maxLength", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_schema_gives_some_json_value(schema: object) -> None:
    assert orjson.dumps(schemas.instance(schema, Random(0)))


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}

    assert orjson.dumps(schemas.instance(schema, Random(0)))


@pytest.mark.parametrize("seed", range(3))
def test_equal_seeds_say_the_same(seed: int) -> None:
    assert drawn(seed).text == drawn(seed).text
