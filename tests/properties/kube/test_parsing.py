"""Whatever the text, parsing and reading give values or problems, never an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.kube.reading.contents import entries
from gateway.kube.reading.table import READERS
from gateway.kube.resolution.endpoints import format_endpoint
from gateway.schema.problems import Problem

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
    problems: list[Problem] = []
    found = list(entries(text, "f.yaml", problems))

    assert all(entry.subject for entry in found)
    assert all(problem.message for problem in problems)


@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.sampled_from(["spec", *WORDS]), VALUES, max_size=6))
def test_any_body_of_any_kind_is_read_or_explained(identity: tuple[str, str], body: dict[str, object]) -> None:
    group, kind = identity
    version = f"{group}/v1" if group else "v1"
    text = json.dumps({**body, "apiVersion": version, "kind": kind, "metadata": {"name": "x"}})
    problems: list[Problem] = []

    found = list(entries(text, "f.json", problems))

    assert problems or found[0].found is not None or found[0].notes
    assert all(problem.place.line >= 1 for entry in found for problem in entry.problems)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_endpoint_can_be_taken_apart_again(address: object, port: int) -> None:
    text = format_endpoint(str(address), port)

    host, _, number = text.rpartition(":")
    assert (host.strip("[]"), int(number)) == (str(address), port)
