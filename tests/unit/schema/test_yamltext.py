"""Text becomes plain data with the line of each field; hostile text ends early and with a place."""

import pytest

from gateway.schema.problems import Findings
from gateway.schema.yamltext import MAX_DEPTH, MAX_NODES, Located, one, parse


def located(text: str, source: str = "a.yaml") -> tuple[list[Located], list[str]]:
    findings = Findings()
    return list(parse(text, source, findings)), [str(problem) for problem in findings.problems]


def data(text: str) -> object:
    (document,), problems = located(text)
    assert problems == []
    return document.data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, -2, 0x1f, 0o7, 1.5, .5e+1]", {"a": [1, -2, 31, "0o7", 1.5, 5.0]}),
        ("a: [yes, No, on, TRUE, ~, null, '', 'true', !!str 5]",
         {"a": [True, False, True, True, None, None, "", "true", "5"]}),
        ("a: 2026-01-01\nb: 1:30", {"a": "2026-01-01", "b": 90}),
        ("yes: 1\n1: 2\nnull: 3", {"yes": 1, "1": 2, "null": 3}),
        ("a: &x 1\nb: *x\n*x : c", {"a": 1, "b": 1}),
        ("a: &x key\n*x : 2", {"a": "key", "key": 2}),
        ("base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\na: {<<: [*b, *m], x: 0}",
         {"base": {"x": 1, "y": 2}, "more": {"y": 3, "z": 4}, "a": {"x": 0, "y": 2, "z": 4}}),
        ("a: {'<<': 1}", {"a": {"<<": 1}}),
        ("a: 1" + 5000 * "0", {"a": "1" + 5000 * "0"}),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_and_keys_are_text(text: str, expected: object) -> None:
    if "*x : c" in text:
        _, problems = located(text)
        assert problems == ["a.yaml:3: expected a name before the colon"]
    else:
        assert data(text) == expected


def test_every_field_remembers_its_line_and_column() -> None:
    (document,), _ = located("a:\n- b: 1\n  c:\n    d\n-\n  e: 2\n")

    assert document.marks == {
        "": (1, 1),
        "a": (1, 1),
        "a[0]": (2, 3),
        "a[0].b": (2, 3),
        "a[0].c": (3, 3),
        "a[1]": (6, 3),
        "a[1].e": (6, 3),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: *x", "a.yaml:1: not valid YAML: found undefined alias 'x'"),
        ("a: &x [*x]", "a.yaml:1: not valid YAML: found undefined alias 'x'"),
        ("a: 1\n\ta: 1", "a.yaml:2: not valid YAML: "),
        ("a: 1\nb: \x07", "a.yaml:2: not valid YAML: unacceptable character #x0007"),
        ("a: ü\nb: \x07", "a.yaml:2: not valid YAML: unacceptable character #x0007"),
        ("a: \ud800", "a.yaml:1: not valid YAML: half a surrogate pair"),
        ("{[1]: 2, b: 3}", "a.yaml:1: expected a name before the colon"),
        ("a: {<<: 3}", "a.yaml:1: a: expected an object to merge"),
        ("[" * 100_000, f"a.yaml:1: not valid YAML: nested deeper than {MAX_DEPTH}"),
        ("a: [" + "x, " * MAX_NODES + "x]", f"a.yaml:1: not valid YAML: more than {MAX_NODES} values"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_problem(text: str, expected: str) -> None:
    _, problems = located(text)

    assert [problem[: len(expected)] for problem in problems] == [expected]


def test_aliases_count_with_their_depth() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{at}: &a{at} [*a{at - 1}]\n" for at in range(1, MAX_DEPTH + 5))

    _, problems = located(text)

    assert problems == [f"a.yaml:{MAX_DEPTH}: not valid YAML: nested deeper than {MAX_DEPTH}"]


def test_documents_before_a_mistake_are_read() -> None:
    found, problems = located("a: 1\n---\nb: [\n")

    assert [document.data for document in found] == [{"a": 1}]
    assert len(problems) == 1


def test_a_text_of_one_document_is_one_value() -> None:
    findings = Findings()
    value = one("a: {b: x}\n", "--config-text", findings)
    assert value is not None
    value.member("a").member("b").misfit("a number")

    assert one("", "f", findings) is None
    assert one("a: 1\n---\nb: 2\n", "f", Findings()) is None
    assert str(findings.problems[0]) == "--config-text:1: a.b: expected a number, got 'x'"
