"""Each typed reading takes what fits and words what does not, the same for every kind of document."""

from collections.abc import Callable

import pytest

from gateway.schema.fields import Fields
from gateway.schema.problems import Findings
from gateway.schema.values import Value
from gateway.schema.yamltext import one


def read(text: str, reading: Callable[[Fields], object]) -> tuple[object, list[str]]:
    findings = Findings()
    value = one(text, "f", findings)
    assert value is not None
    found = reading(Fields(value))
    return found, [str(problem) for problem in findings.problems]


def field(text: str, reading: Callable[[Value], object]) -> tuple[object, list[str]]:
    findings = Findings()
    value = one(text, "f", findings)
    assert value is not None
    return reading(value.member("a")), [str(problem) for problem in findings.problems]


@pytest.mark.parametrize(
    ("written", "reading", "found"),
    [
        ("x", Value.text, "x"),
        ("2026-01-01", Value.text, "2026-01-01"),
        ("yes", Value.boolean, True),
        ("3", Value.integer, 3),
        ("3.0", Value.integer, 3),
        ("3", Value.number, 3),
        ("1m", Value.duration, 60.0),
        ("0", Value.duration, 0.0),
        ("1.5s", Value.duration, 1.5),
        ("1Ki", Value.quantity, 1024),
        ("500", Value.quantity, 500),
    ],
)
def test_what_fits_is_read(written: str, reading: Callable[[Value], object], found: object) -> None:
    assert field(f"a: {written}", reading) == (found, [])


@pytest.mark.parametrize(
    ("written", "reading", "problem"),
    [
        ("3", Value.text, "expected a string, got 3"),
        ("", Value.text, "expected a string, got nothing"),
        ("{}", Value.text, "expected a string, got an object"),
        ("'yes'", Value.boolean, "expected true or false, got 'yes'"),
        ("true", Value.integer, "expected a whole number, got true"),
        ("1.5", Value.integer, "expected a whole number, got 1.5"),
        (".nan", Value.number, "expected a number, got nan"),
        ("1" + 70 * "0", Value.number, "expected a number, got a huge number"),
        ("x" * 70, Value.number, f"expected a number, got '{'x' * 56}..."),
        ("5", Value.duration, "expected a duration such as 10s, 200ms or 1m30s, got 5"),
        ("5", Value.gateway_duration, "expected a string, got 5"),
        ("1.5s", Value.gateway_duration, "expected a duration such as 10s, 200ms or 1m30s, got '1.5s'"),
        ("[1]", Value.quantity, "expected a quantity such as 1Gi, 500M or 100, got a list"),
        ("0", lambda value: value.integer(1, 9), "expected 1 to 9, got 0"),
        ("0", lambda value: value.number(low=1), "expected at least 1, got 0"),
        ("2.5", lambda value: value.number(high=1), "expected at most 1, got 2.5"),
        ("3", lambda value: list(value.items()) or None, "expected a list, got 3"),
        ("3", lambda value: value.members() or None, "expected an object, got 3"),
    ],
)
def test_what_does_not_fit_is_one_problem(written: str, reading: Callable[[Value], object], problem: str) -> None:
    assert field(f"a: {written}", reading) == (None, [f"f:1: a: {problem}"])


def test_a_missing_an_empty_and_a_long_text_are_problems() -> None:
    found, problems = read(
        "b: ''\nc: abc", lambda fields: [fields.text(key, required=True, longest=2) for key in ("a", "b", "c")]
    )

    assert found == ["", "", "abc"]
    assert problems == ["f:1: a: required", "f:1: b: may not be empty", "f:2: c: longer than 2 characters"]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("replica: 1", "did you mean 'replicas'?"),
        ("Match-Labels: 1", "did you mean 'match-labels'?"),
        ("zzz: 1", "valid: match-labels, replicas, selector"),
    ],
)
def test_an_unknown_field_comes_with_the_nearest_name(written: str, hint: str) -> None:
    def reading(fields: Fields) -> None:
        fields.known("replicas", "selector", "match-labels")
        fields.done()

    _, problems = read(written, reading)

    assert problems == [f"f:1: {written.partition(':')[0]}: unknown field; {hint}"]


def test_items_and_entries_are_counted_and_each_misfit_has_its_index() -> None:
    _, problems = read("a: [1, x, {}]", lambda fields: fields.texts("a", 2, least=1))
    _, others = read("a: {b: 1, 'c d': e}", lambda fields: fields.labels("a", 1))

    assert problems == [
        "f:1: a: expected 1 to 2 items, got 3",
        "f:1: a[0]: expected a string, got 1",
        "f:1: a[2]: expected a string, got an object",
    ]
    assert others == [
        "f:1: a: expected 0 to 1 entries, got 2",
        "f:1: a.b: expected a label value of at most 63 characters, got 1",
        "f:1: a.c d: not a label key: 'c d'",
    ]
