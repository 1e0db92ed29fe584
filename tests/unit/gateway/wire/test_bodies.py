"""Hostile structure is refused before it is built; text, however full of marks, is no structure."""

import json
from time import thread_time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import bodies
from gateway.wire.bodies import ITEM_LIMIT, SMALL_BYTES, STRUCTURE_LIMIT, refusal_of_structure

MEGABYTE = 1024 * 1024


def body(value: bytes, field: bytes = b"tools") -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"x"}],"%b":%b}' % (field, value)


def filled(item: bytes, size: int) -> bytes:
    return body(b"[" + item * (size // len(item)) + b"0]")


@pytest.mark.parametrize(
    "hostile",
    [
        filled(b"[],", 16 * MEGABYTE),
        filled(b'{"a":{"b":[{},{"c":1}]}},', 60 * MEGABYTE),
        filled(b'"",', 16 * MEGABYTE),
        filled(b"1,", 16 * MEGABYTE),
        body(b"{" + b",".join(b'"k%d":1' % number for number in range(STRUCTURE_LIMIT + 1)) + b"}"),
        b"[" * (16 * MEGABYTE),
        rb'["\\",' + b"[]," * (2 * STRUCTURE_LIMIT) + b"0]",
    ],
)
def test_more_structure_than_any_prompt_has_is_refused(hostile: bytes) -> None:
    refusal = refusal_of_structure(hostile)
    assert refusal is not None
    assert refusal.status == 413


@pytest.mark.parametrize(
    "honest",
    [
        body(b"[]"),
        filled(b"[],", SMALL_BYTES - 100),  # small bodies are bounded by their size
        body(orjson.dumps("a, b: [c] {d} " * MEGABYTE)),
        body(orjson.dumps('print("[],{}", {"a": "\\\\"})\n' * 300_000)),
        body(orjson.dumps(list(range(100_000, 100_000 + ITEM_LIMIT - 10)))),
        body(orjson.dumps([{"role": "user", "content": "a question of some length"}] * 35_000)),
    ],
)
def test_prompts_of_any_text_are_not_refused(honest: bytes) -> None:
    assert refusal_of_structure(honest) is None


def test_a_scan_costs_less_than_a_parse() -> None:
    text = body(orjson.dumps("Some words, and more of them. " * 200_000))
    assert min(_seconds(refusal_of_structure, text)) < 3 * min(_seconds(orjson.loads, text))
    hostile = filled(b"[],", 4 * MEGABYTE)
    assert min(_seconds(refusal_of_structure, hostile)) < min(_seconds(orjson.loads, hostile))


def _seconds(call: object, argument: bytes) -> list[float]:
    assert callable(call)
    taken = []
    for _ in range(3):
        began = thread_time()
        call(argument)
        taken.append(thread_time() - began)
    return taken


TEXTS = st.text(alphabet='ab"\\[]{},:\n\x01é', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=40,
)  # fmt: skip


def structure(value: object) -> tuple[int, int]:
    """Containers and strings, and commas, of a value."""
    match value:
        case str():
            return 1, 0
        case list():
            inner = [structure(each) for each in value]
            return 1 + sum(count for count, _ in inner), max(0, len(value) - 1) + sum(commas for _, commas in inner)
        case dict():
            inner = [structure(each) for each in value.values()]
            own = max(0, len(value) - 1)
            return 1 + len(value) + sum(count for count, _ in inner), own + sum(commas for _, commas in inner)
    return 0, 0


@given(VALUES, st.booleans())
def test_marks_are_counted_as_a_parser_finds_them(value: object, is_ascii: bool) -> None:
    written = json.dumps(value, ensure_ascii=is_ascii).encode()
    assert bodies.counts(written) == structure(value)
