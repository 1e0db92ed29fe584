"""Documents keep their places, and bad text becomes problems that name theirs."""

import pytest

from gateway.schema.documents import MAX_NODES, Document, parse


def one(text: str, file: str = "a.yaml") -> Document:
    (document,), problems = parse(text, file)
    assert problems == ()
    return document


def test_a_document_knows_who_it_is_and_where_its_fields_are() -> None:
    document = one(
        "# a comment\napiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  labels: {app: a}\n"
        "spec:\n  ports:\n  - port: 80\n    name: web\n"
    )

    assert (document.kind, document.group, document.namespace, document.name) == ("Service", "", "default", "s")
    assert document.labels == {"app": "a"}
    assert document.line() == 2
    assert document.line("spec.ports[0].name") == 10
    assert document.line("spec.ports[0].missing") == 9
    assert document.line("nowhere.at.all") == 2


def test_a_problem_names_file_line_field_and_object() -> None:
    document = one("apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\nspec:\n  ports: []\n")

    assert str(document.problem("spec.ports", "too few")) == "a.yaml:5: spec.ports: too few (Service n/s)"


def test_several_documents_empty_ones_and_lists_are_read() -> None:
    documents, problems = parse(
        "---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: List\n"
        "items:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n",
        "a.yaml",
    )

    assert problems == ()
    assert [document.name for document in documents] == ["a", "b"]
    assert documents[1].line("metadata.name") == 13


def test_json_with_tabs_is_read_with_its_lines() -> None:
    document = one('{\n\t"apiVersion": "v1",\n\t"kind": "Service",\n\t"metadata": {"name": "s"}\n}', "a.json")

    assert document.line("kind") == 3


def test_time_stamps_and_version_like_words_stay_text() -> None:
    document = one(
        "apiVersion: v1\nkind: X\nmetadata: {creationTimestamp: 2026-01-01T00:00:00Z}\nspec: {a: 1, b: '1'}\n"
    )

    assert document.body["metadata"] == {"creationTimestamp": "2026-01-01T00:00:00Z"}
    assert document.body["spec"] == {"a": 1, "b": "1"}


def test_merge_keys_and_anchors_are_followed() -> None:
    document = one("apiVersion: v1\nkind: X\nspec:\n  a: &a {x: 1, y: 2}\n  b: {<<: *a, y: 3}\n")

    assert document.body["spec"] == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: [1", "a.yaml:1: not YAML: expected ',' or ']', but got '<stream end>'", id="syntax"),
        pytest.param("kind: X", "a.yaml:1: apiVersion: expected a string, got nothing", id="no-version"),
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
        pytest.param("a: \x00", "special characters are not allowed", id="control-character"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, expected: str) -> None:
    _, problems = parse(text, "a.yaml")

    assert expected in "\n".join(map(str, problems))


def test_an_alias_bomb_ends_as_a_problem() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for index in range(1, 9):
        aliases = ", ".join([f"*a{index - 1}"] * 10)
        text += f"a{index}: &a{index} [{aliases}]\n"

    _, problems = parse(text, "a.yaml")

    assert str(MAX_NODES) in problems[0].message
