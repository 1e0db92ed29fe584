"""Volatile lines leave a body, and nothing else changes."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.volatile_lines import STARTS_LIMIT, problem, without_volatile_lines

BILLING = "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch=0a1b2;"
LINES = ["Current time:", "Größe:"]


def stripped(document: object) -> object:
    return orjson.loads(without_volatile_lines(orjson.dumps(document), LINES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BILLING, ""),
        (BILLING.upper().replace("CCH", "cch"), ""),
        (BILLING + "\nYou are kind.", "You are kind."),
        ("Current time: 10:00\nbe kind", "be kind"),
        ("be kind\nCurrent time: 10:00", "be kind\n"),
        ("be kind\nCurrent time: 10:00\nand brief", "be kind\nand brief"),
        ('Current time: "ten" \\ \t\nx', "x"),
        ("Größe: 3\nx", "x"),
        ("Current time: 1\nCurrent time: 2\nx", "x"),
        ("it says Current time: 10:00", "it says Current time: 10:00"),
        ("a backslash \\nCurrent time: 10:00", "a backslash \\nCurrent time: 10:00"),
        ('a quote "Current time: 10:00', 'a quote "Current time: 10:00'),
        ("what is x-anthropic-billing-header: for?", "what is x-anthropic-billing-header: for?"),
        ("x-anthropic-billing-header: what is that?", "x-anthropic-billing-header: what is that?"),
    ],
)
def test_lines_are_taken_out_of_strings(text: str, expected: str) -> None:
    assert stripped({"system": [{"text": text}, {"text": "stays"}], "n": 1}) == {
        "system": [{"text": expected}, {"text": "stays"}],
        "n": 1,
    }


def test_names_of_members_stay() -> None:
    document = {"Current time:": "Current time: 1", "Current time: \n2": 1, BILLING: 2}
    assert stripped(document) == {"Current time:": "", "Current time: \n2": 1, BILLING: 2}


def test_every_other_byte_stays_as_it_was() -> None:
    body = b'{ "n" : 12345678901234567890123, "a": 1, "a": 2,\n "system":"Current time: 1\\nx\\u00e9", "t": 1.0 }'
    expected = b'{ "n" : 12345678901234567890123, "a": 1, "a": 2,\n "system":"x\\u00e9", "t": 1.0 }'
    assert without_volatile_lines(body, LINES) == expected
    assert without_volatile_lines(expected, LINES) is expected


TEXT = st.text() | st.lists(st.sampled_from(["Current time: 1", BILLING, "\n", '"', "\\", "x", "é", ":"])).map("".join)


@given(st.recursive(TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)), st.booleans())
def test_whatever_is_stripped_is_still_the_same_document(value: object, is_ascii: bool) -> None:
    document = {"system": value}
    found = json.loads(without_volatile_lines(json.dumps(document, ensure_ascii=is_ascii).encode(), LINES))
    assert shape(found) == shape(document)


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value)


def test_a_body_of_megabytes_that_repeats_the_beginning_takes_linear_time() -> None:
    text = "Current time:" * 300_000 + "\\" * 1_000_000 + '"' * 1000
    assert stripped({"system": text}) == {"system": ""}


@pytest.mark.parametrize(
    ("patterns", "word"),
    [
        (["ab"], "3"),
        (["a" * 201], "200"),
        (["a\nbc"], "line"),
        (["abc"] * (STARTS_LIMIT + 1), "32"),
        ([], None),
    ],
)
def test_a_list_of_patterns_is_bounded(patterns: list[str], word: str | None) -> None:
    found = problem(patterns)
    assert found is None if word is None else word in (found or "")
