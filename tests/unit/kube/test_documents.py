"""Documents keep their places, and bad text becomes problems that name theirs."""

from collections.abc import Mapping

import pytest

from gateway.kube.reading.documents import Document, documents
from gateway.schema.problems import Findings, Problem
from gateway.schema.yamltext import MAX_NODES, parse


def read(text: str, file: str = "a.yaml") -> tuple[list[Document], list[Problem]]:
    findings = Findings()
    found = [document for located in parse(text, file, findings) for document in documents(located, file, findings)]
    return found, [*findings.problems, *(each for document in found for each in document.value.findings.problems)]


def one(text: str, file: str = "a.yaml") -> Document:
    (document,), problems = read(text, file)
    assert problems == []
    return document


def plain(text: str) -> Mapping[str, object]:
    data = one(text).value.data
    assert isinstance(data, Mapping)
    return data


def line(document: Document, path: str = "") -> int:
    return document.value.origin.place(path).line


def test_a_document_knows_who_it_is_and_where_its_fields_are() -> None:
    document = one(
        "# a comment\napiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  labels: {app: a}\n"
        "spec:\n  ports:\n  - port: 80\n    name: web\n"
    )

    assert (document.kind, document.group, *document.meta.id) == ("Service", "", "default", "s")
    assert document.meta.labels == {"app": "a"}
    assert line(document) == 2
    assert line(document, "spec.ports[0].name") == 10
    assert line(document, "spec.ports[0].missing") == 9
    assert line(document, "nowhere.at.all") == 2


def test_a_problem_names_file_line_field_and_object() -> None:
    document = one("apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\nspec:\n  ports: []\n")

    assert str(document.value.origin.problem("spec.ports", "too few")) == "a.yaml:5: spec.ports: too few (Service n/s)"


def test_several_documents_empty_ones_and_lists_are_read() -> None:
    found, problems = read(
        "---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: List\n"
        "items:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n",
        "a.yaml",
    )

    assert problems == []
    assert [document.meta.id.name for document in found] == ["a", "b"]
    assert line(found[1], "metadata.name") == 13


def test_json_with_tabs_is_read_with_its_lines() -> None:
    document = one('{\n\t"apiVersion": "v1",\n\t"kind": "Service",\n\t"metadata": {"name": "s"}\n}', "a.json")

    assert line(document, "kind") == 3


def test_time_stamps_and_version_like_words_stay_text() -> None:
    body = plain("apiVersion: v1\nkind: X\nmetadata: {creationTimestamp: 2026-01-01T00:00:00Z}\nspec: {a: 1, b: '1'}\n")

    assert body["metadata"] == {"creationTimestamp": "2026-01-01T00:00:00Z"}
    assert body["spec"] == {"a": 1, "b": "1"}


def test_merge_keys_and_anchors_are_followed() -> None:
    body = plain("apiVersion: v1\nkind: X\nspec:\n  a: &a {x: 1, y: 2}\n  b: {<<: *a, y: 3}\n")

    assert body["spec"] == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "a: [1",
            "a.yaml:1: not valid YAML: while parsing a flow sequence, did not find expected ','",
            id="syntax",
        ),
        pytest.param("kind: X", "a.yaml:1: apiVersion: required", id="no-version"),
        pytest.param(
            "rules: []",
            "a.yaml:1: a fragment with rules, and no object: apiVersion, kind and metadata are missing around it",
            id="fragment",
        ),
        pytest.param("apiVersion: v1\nkind: 3", "a.yaml:2: kind: expected a string, got 3", id="kind-number"),
        pytest.param("- 1", "a.yaml:1: expected an object with apiVersion and kind, got a list", id="list"),
        pytest.param("a: !!python/name:os.system x", "could not determine a constructor", id="tag"),
        pytest.param("apiVersion: v1\nkind: X\nkind: Y", "a.yaml:3: kind: written twice", id="twice"),
        pytest.param(
            "apiVersion: v1\nkind: X\nmetadata: 1", "a.yaml:3: metadata: expected an object, got 1", id="meta"
        ),
        pytest.param(
            "apiVersion: v1\nkind: X\nmetadata:\n  labels: {a: 1}",
            "a.yaml:4: metadata.labels.a: expected a string, got 1",
            id="label",
        ),
        pytest.param("a: " + "[" * 100 + "]" * 100, "nested deeper than", id="deep"),
        pytest.param("a: \x00", "a.yaml:1: not valid YAML: unacceptable character #x0000", id="control-character"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, expected: str) -> None:
    _, problems = read(text)

    assert expected in "\n".join(map(str, problems))


def test_an_alias_bomb_ends_as_a_problem() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for index in range(1, 9):
        aliases = ", ".join([f"*a{index - 1}"] * 10)
        text += f"a{index}: &a{index} [{aliases}]\n"

    _, problems = read(text)

    assert str(MAX_NODES) in problems[0].message


@pytest.mark.parametrize(
    ("written", "expected", "problems"), [("true", True, 0), ("false", False, 0), ("ja", False, 1)]
)
def test_websockets_are_on_or_off(written: str, expected: object, problems: int) -> None:
    (document,), found = read(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n"
        f"  annotations:\n    pointsman.dev/websockets: '{written}'\n"
    )

    assert document.meta.websockets is expected
    assert [each.place.line for each in found] == [6] * problems


@pytest.mark.parametrize(("written", "expected", "problems"), [("10s", 10.0, 0), ("500ms", 0.5, 0), ("soon", None, 1)])
def test_the_limit_of_the_first_token_is_a_duration(written: str, expected: float | None, problems: int) -> None:
    (document,), found = read(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n"
        f"  annotations:\n    pointsman.dev/first-token-timeout: {written}\n"
    )

    assert document.meta.first_token == expected
    assert [each.place.line for each in found] == [6] * problems
