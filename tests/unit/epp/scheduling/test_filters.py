"""The filters, as upstream documents them."""

import pytest

from epp.testing import Candidate, Decided, candidate, decide
from gateway.wire.errors import ErrorCode

BODY = {"model": "m", "prompt": "p" * 2048}


def run(type_: str, candidates: list[Candidate], parameters: str = "{}", **more: object) -> Decided:
    config = f"""\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {{type: {type_}, parameters: {parameters}}}
"""
    return decide(config, candidates, BODY, **more)  # type: ignore[arg-type]


def kept(type_: str, candidates: list[Candidate], parameters: str = "{}", **more: object) -> set[str]:
    decided = run(type_, candidates, parameters, **more)
    return {each.endpoint.name for each in candidates} - set(decided.removed[type_])


def roles(*values: str | None) -> list[Candidate]:
    return [candidate(value or "none", labels={"llm-d.ai/role": value} if value else {}) for value in values]


def test_role_filters_keep_what_the_label_includes() -> None:
    found = roles(
        "decode", "prefill", "encode", "prefill-decode", "encode-prefill", "encode-prefill-decode", "both", None
    )
    assert kept("decode-filter", found) == {"decode", "prefill-decode", "both", "encode-prefill-decode", "none"}
    assert kept("prefill-filter", found) == {
        "prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode",
    }  # fmt: skip
    assert kept("encode-filter", found) == {"encode", "encode-prefill", "encode-prefill-decode"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("{matchLabels: {gpu: h100}}", {"a"}),
        ("{matchExpressions: [{key: gpu, operator: In, values: [h100, a100]}]}", {"a", "b"}),
        ("{matchExpressions: [{key: gpu, operator: NotIn, values: [h100]}]}", {"b", "c"}),
        ("{matchExpressions: [{key: gpu, operator: Exists}]}", {"a", "b"}),
        ("{matchExpressions: [{key: gpu, operator: DoesNotExist}]}", {"c"}),
        ("{matchLabels: {gpu: h100}, matchExpressions: [{key: zone, operator: Exists}]}", set()),
    ],
)
def test_label_selector_is_kubernetes_own(selector: str, expected: set[str]) -> None:
    found = [candidate("a", labels={"gpu": "h100"}), candidate("b", labels={"gpu": "a100"}), candidate("c")]
    assert kept("label-selector-filter", found, selector) == expected


def test_a_filter_that_keeps_nobody_is_429() -> None:
    decided = run("label-selector-filter", [candidate("a")], "{matchLabels: {gpu: none}}")
    assert decided.rejection is not None
    assert (decided.rejection.status, decided.rejection.code) == (429, ErrorCode.POOL_SATURATED)
    assert "label" not in decided.rejection.message
    assert "default" in decided.rejection.message


def test_utilization_filter_wants_every_condition() -> None:
    found = [candidate("a", waiting=9), candidate("b", kv_usage=0.9), candidate("c")]
    conditions = "conditions: [{metric: waiting-queue, maxValue: 5}, {metric: kv-cache-utilization, maxValue: 0.8}]"
    assert kept("utilization-filter", found, f"{{{conditions}}}") == {"c"}
    assert kept("utilization-filter", found[:2], f"{{{conditions}, fallbackOnEmpty: true}}") == {"a", "b"}
    assert kept("utilization-filter", found[:2], f"{{{conditions}}}") == set()


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("LessThan", {"a"}), ("LessThanOrEqual", {"a", "b"}), ("Equal", {"b"}), ("NotEqual", {"a", "c"}),
        ("GreaterThan", {"c"}), ("GreaterThanOrEqual", {"b", "c"}),
    ],
)  # fmt: skip
def test_attribute_filter_compares_with_a_threshold(operator: str, expected: set[str]) -> None:
    found = [candidate("a", running=3), candidate("b", running=10), candidate("c", running=30)]
    algorithm = f"algorithm: {{type: threshold, threshold: {{operator: {operator}, value: 10}}}}"
    assert kept("endpoint-attribute-filter", found, f"{{attribute: running-requests, {algorithm}}}") == expected


@pytest.mark.parametrize(("on_missing", "expected"), [("Pass", {"a", "b"}), ("Fail", set())])
def test_an_attribute_that_no_endpoint_has_is_left_to_on_missing(on_missing: str, expected: set[str]) -> None:
    algorithm = "algorithm: {type: threshold, threshold: {operator: LessThanOrEqual, value: 0.9}}"
    parameters = f"{{attribute: GPUUtilization/dcgm-extractor, onMissing: {on_missing}, {algorithm}}}"
    assert kept("endpoint-attribute-filter", [candidate("a"), candidate("b")], parameters) == expected


def test_prefix_affinity_filter_keeps_who_holds_the_prompt() -> None:
    found = [candidate("a"), candidate("b"), candidate("c")]
    decided = run("prefix-cache-affinity-filter", found, before=[BODY])
    assert len(decided.removed["prefix-cache-affinity-filter"]) == 2
    assert kept("prefix-cache-affinity-filter", found) == {"a", "b", "c"}


def test_prefix_affinity_filter_lets_go_when_the_holder_waits_too_long() -> None:
    found = [candidate("a"), candidate("b")]
    # 512 tokens in flight at 10 tokens a second are 51 s, against 18 s that are allowed.
    slow = "{peakPrefillThroughput: 10}"
    assert kept("prefix-cache-affinity-filter", found, slow, before=[BODY]) == {"a", "b"}
    assert len(kept("prefix-cache-affinity-filter", found, "{peakPrefillThroughput: 1000}", before=[BODY])) == 1


def test_prefix_affinity_filter_without_a_penalty_always_sticks() -> None:
    slow = "{peakPrefillThroughput: 10, maxTTFTPenaltyMs: 0}"
    assert len(kept("prefix-cache-affinity-filter", [candidate("a"), candidate("b")], slow, before=[BODY])) == 1


def test_prefix_affinity_filter_explores_by_chance() -> None:
    found = [candidate("a"), candidate("b")]
    assert kept("prefix-cache-affinity-filter", found, "{explorationProbability: 1}", before=[BODY]) == {"a", "b"}


def test_session_filter_keeps_the_bound_endpoint_and_all_when_it_is_gone() -> None:
    found = [candidate("a"), candidate("b"), candidate("c")]
    first = run("session-affinity-filter", found)
    assert first.pick is not None
    headers = dict(first.pick.explain)
    assert kept("session-affinity-filter", found, headers=headers) == set(first.targets)
    others = [each for each in found if each.endpoint.name not in first.targets]
    assert kept("session-affinity-filter", others, headers=headers) == {each.endpoint.name for each in others}


@pytest.mark.parametrize(
    ("header", "expected"),
    [("a", {"a"}), ("a,b", {"a", "b"}), (" b ", {"b"}), ("10.9.9.9", set()), (" ", {"a", "b", "c"})],
)
def test_testing_header_names_the_endpoints(header: str, expected: set[str]) -> None:
    found = [candidate("a"), candidate("b"), candidate("c")]
    assert kept("header-based-testing-filter", found, headers={"test-epp-endpoint-selection": header}) == expected


def test_without_the_testing_header_all_are_kept() -> None:
    assert kept("header-based-testing-filter", [candidate("a"), candidate("b")]) == {"a", "b"}


def test_context_length_filters_only_when_told_to() -> None:
    label = "llm-d.ai/context-length-range"
    found = [candidate("short", labels={label: "0-100"}), candidate("long", labels={label: "0-9000"}), candidate("any")]
    assert kept("context-length-aware", found) == {"short", "long", "any"}
    found += [candidate("unreadable", labels={label: "much"}), candidate("upside down", labels={label: "900-100"})]
    assert kept("context-length-aware", found, "{enableFiltering: true}") == {"long", "any"}
