"""What Envoy would refuse without a word to the author is refused here, with its place."""

from pathlib import Path

import pytest

from gateway.kube.sources.files import load
from gateway.schema import spelling

MANIFESTS = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{gatewayClassName: c, listeners: [{listeners}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r}}
spec:
  parentRefs: [{{name: g}}]
  rules: [{{matches: [{match}], filters: [{filters}], backendRefs: [{{name: {backend}, port: 80}}]}}]
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: p}}
spec:
  selector: {{matchLabels: {{app: p}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: {picker}, port: {{number: 9002}}}}
"""
RIGHT = {
    "name": "g",
    "listeners": "{name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}",
    "match": "{path: {value: '/v1/~a%20b'}}",
    "filters": "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: 5%ü}], remove: [x-b]}}",
    "backend": "s",
    "picker": "epp.a",
}
HEADERS = "{type: RequestHeaderModifier, requestHeaderModifier: {%s}}"
REWRITE = "{type: URLRewrite, urlRewrite: {%s}}"
HTTP = "{name: %s, port: 80, protocol: HTTP%s}"


def problems(folder: Path, **changes: str) -> list[str]:
    (folder / "all.yaml").write_text(MANIFESTS.format(**RIGHT | changes))
    return [f"{problem.field}: {problem.message}" for problem in load([folder]).problems]


def test_right_spellings_pass(tmp_path: Path) -> None:
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("part", "text", "field"),
    [
        ("name", "../g", "metadata.name"),
        ("name", "G_1", "metadata.name"),
        ("listeners", HTTP % ("'a b'", ""), "spec.listeners[0].name"),
        ("listeners", HTTP % ("a", ", hostname: '*'"), "spec.listeners[0].hostname"),
        ("listeners", HTTP % ("a", ", hostname: 'a.*.com'"), "spec.listeners[0].hostname"),
        ("listeners", f"{HTTP % ('a', '')}, {HTTP % ('b', '')}", "spec.listeners"),
        ("match", "{path: {value: '/a?b'}}", "spec.rules[0].matches[0].path.value"),
        ("match", '{path: {value: "/a\\n"}}', "spec.rules[0].matches[0].path.value"),
        ("match", "{path: {type: RegularExpression, value: ''}}", "spec.rules[0].matches[0].path.value"),
        ("filters", HEADERS % "remove: [':path']", "spec.rules[0].filters[0].requestHeaderModifier.remove[0]"),
        ("filters", HEADERS % "remove: [Host]", "spec.rules[0].filters[0].requestHeaderModifier.remove[0]"),
        (
            "filters",
            HEADERS % 'set: [{name: a, value: "b\\r\\nc"}]',
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
        ),
        ("filters", REWRITE % "hostname: 'a b'", "spec.rules[0].filters[0].urlRewrite.hostname"),
        (
            "filters",
            REWRITE % 'path: {type: ReplaceFullPath, replaceFullPath: "/a\\nb"}',
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
        ),
        ("backend", "a/b", "spec.rules[0].backendRefs[0].name"),
        ("picker", "../epp", "spec.endpointPickerRef.name"),
    ],
)
def test_a_wrong_spelling_is_a_problem_at_its_field(tmp_path: Path, part: str, text: str, field: str) -> None:
    found = problems(tmp_path, **{part: text})

    assert [problem.partition(": ")[0] for problem in found] == [field]


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a(?=b)",
        "(?<!a)b",
        "(a)\\1",
        "(?P<n>a)(?P=n)",
        "a\\Z",
        "\\u0041",
        "[\\u0041]",
        "a*+",
        "a{2}+",
        "(?#c)a",
        "(a)?(?(1)b|c)",
        "(?a)b",
        "a{1001}",
        "a{1,1001}",
        "[",
    ],
)
def test_an_expression_that_envoy_lacks_has_a_fault(pattern: str) -> None:
    assert spelling.regex_fault(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "/v1/.*",
        "(?i:qwen)",
        "(?P<n>a)",
        "[(?=]",
        "a\\++",
        "a+?",
        "[+*]+",
        "(a+)+",
        "[[:alpha:]]",
        "\\(\\?=",
        "a{2,1000}",
    ],
)
def test_an_expression_that_envoy_takes_has_none(pattern: str) -> None:
    assert spelling.regex_fault(pattern) is None
