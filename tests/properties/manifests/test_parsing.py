"""Whatever the text, parsing and reading give values or problems, never an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.kube.endpoints import format_endpoint
from gateway.kube.reading import READERS, read
from gateway.schema.documents import parse
from gateway.schema.fields import Findings

WORDS = [
    *("name", "namespace", "labels", "spec", "selector", "matchLabels", "targetPorts", "number", "endpointPickerRef"),
    *("port", "rules", "matches", "path", "value", "type", "headers", "filters", "backendRefs", "weight", "parentRefs"),
    *("hostnames", "listeners", "protocol", "endpoints", "addresses", "addressType", "ports", "data", "timeouts"),
    *("request", "poolRef", "priority", "targets", "host", "trafficPolicy", "tls", "mode"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=20,
)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_explained(text: str) -> None:
    documents, problems = parse(text, "f.yaml")

    assert all(document.kind for document in documents)
    assert all(problem.message for problem in problems)


@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.sampled_from(["spec", *WORDS]), VALUES, max_size=6))
def test_any_body_of_any_kind_is_read_or_explained(identity: tuple[str, str], body: dict[str, object]) -> None:
    group, kind = identity
    version = f"{group}/v1" if group else "v1"
    text = json.dumps({**body, "apiVersion": version, "kind": kind, "metadata": {"name": "x"}})
    documents, problems = parse(text, "f.json")
    findings = Findings()

    found = [read(document, findings) for document in documents]

    assert problems or found[0] is not None
    assert all(problem.line >= 1 for problem in findings.problems)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_endpoint_can_be_taken_apart_again(address: object, port: int) -> None:
    text = format_endpoint(str(address), port)

    host, _, number = text.rpartition(":")
    assert (host.strip("[]"), int(number)) == (str(address), port)
