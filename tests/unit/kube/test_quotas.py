"""Quotas in ConfigMaps and in Envoy AI Gateway's QuotaPolicies become rules; what is wrong with them is named."""

from pathlib import Path

import pytest

from gateway.kube.reading.quota_policies import linear
from gateway.kube.resolution.quotas import quota_rules
from gateway.kube.sources.files import load
from gateway.quotas.rules import Condition, Measure, Rule, RuleSet
from gateway.quotas.usage import Usage, Weights
from gateway.quotas.windows import CALENDAR_MONTH, Window

HEAD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: limits, labels: {pointsman.dev/quotas: "true"}}
data:
  quotas: |
"""
POLICY = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: QuotaPolicy
metadata: {{name: {name}, creationTimestamp: "{created}"}}
spec:
  targetRefs: [{{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: b}}]
  {spec}
"""


def rules(folder: Path, *texts: str) -> tuple[Rule, ...]:
    (folder / "a.yaml").write_text("\n---\n".join(texts))
    found = load([folder])
    assert found.problems == ()
    return quota_rules(found.manifests)


def problem(folder: Path, text: str) -> str:
    (folder / "a.yaml").write_text(text)
    found = load([folder])
    assert quota_rules(found.manifests) == ()
    (only,) = found.problems
    return str(only)


def written(*lines: str) -> str:
    return HEAD + "".join(f"    - {line}\n" for line in lines)


def policy(spec: str, name: str = "p", created: str = "2026-01-01T00:00:00Z") -> str:
    return POLICY.format(name=name, created=created, spec=spec)


def test_a_config_map_without_the_label_is_no_quota(tmp_path: Path) -> None:
    line = "{tokens: 1, per: minute}"

    assert rules(tmp_path, written(line).replace('"true"', '"false"')) == ()
    assert len(rules(tmp_path, written(line))) == 1


def test_a_rule_says_for_whom_how_much_and_in_which_window(tmp_path: Path) -> None:
    first, second = rules(
        tmp_path,
        written(
            "{name: acme, when: {tenant: acme, Header:X-Team: '*'}, tokens: 500, per: month, weights: {cached: 0.1}}",
            "{requests: 3, per: 1m30s, shadow: true}",
        ),
    )

    assert first.conditions == (Condition("header:x-team", "*"), Condition("tenant", "acme"))
    assert (first.name, first.measure, first.limit) == ("default/limits/acme", Measure.TOKENS, 500)
    assert (first.window, first.weights) == (CALENDAR_MONTH, Weights(cached=0.1))
    assert (second.name, second.measure, second.window) == (
        "default/limits/quotas[1]",
        Measure.REQUESTS,
        Window(90.0),
    )
    assert (second.is_shadow, second.key != first.key) == (True, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{tokens: -1, per: minute}", "tokens: expected"),
        ("{tokens: 1, requests: 1, per: minute}", "expected either tokens or requests"),
        ("{per: minute}", "expected either tokens or requests"),
        ("{tokens: 1}", "per: required"),
        ("{tokens: 1, per: fortnight}", "per: expected second, minute, hour, day, month, or a duration"),
        ("{tokens: 1, per: 10ms}", "per: expected"),
        ("{tokens: 1, per: minute, when: {tenants: x}}", "unknown attribute"),
        ("{tokens: 1, per: minute, when: {tenant: ''}}", "expected a value"),
        ("{tokens: 1, per: minute, limit: 3}", "limit"),
        ("{requests: 1, per: minute, weights: {input: 2}}", "only tokens have weights"),
        ("{tokens: 1, per: minute, weights: {input: -2}}", "weights.input"),
        ("just text", "expected an object"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_no_rule_of_the_object_is_taken(
    tmp_path: Path, line: str, message: str
) -> None:
    found = problem(tmp_path, written("{tokens: 5, per: hour}", line))

    assert message in found
    assert "data.quotas" in found
    assert "quotas:2" in found


def test_a_limit_of_nought_is_one(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, written("{tokens: 0, per: minute}"))

    assert rule.limit == 0


EXCLUSIVE = """
  serviceQuota: {quota: {limit: 100, duration: "60"}}
  perModelQuotas:
  - modelName: m
    quota:
      mode: Exclusive
      costExpression: input_tokens + cached_input_tokens * 0.1 + 6 * output_tokens
      defaultBucket: {limit: 10, duration: 30m}
      bucketRules:
      - clientSelectors: [{headers: [{name: X-User, type: Distinct}]}]
        quota: {limit: 5, duration: 1h}
        shadowMode: true
      - {clientSelectors: [{headers: [{name: x-user, value: ann}]}], quota: {limit: 7, duration: 1h}}
"""
BACKEND = {"backend:default/b": "true"}


def deciding(found: tuple[Rule, ...], **subject: str) -> list[int]:
    return sorted(rule.limit for rule in RuleSet(found).deciding({**BACKEND, **subject}))


def test_an_exclusive_bucket_takes_the_place_of_the_default_and_that_of_the_services(tmp_path: Path) -> None:
    found = rules(tmp_path, policy(EXCLUSIVE))

    assert deciding(found, model="other") == [100]
    assert deciding(found, **{"model": "other", "served-model": "m"}) == [5, 10]
    assert deciding(found, model="m") == [5, 10]
    assert deciding(found, **{"model": "m", "header:x-user": "ann"}) == [5, 7]
    assert RuleSet(found).deciding({"model": "m"}) == []


def test_shared_buckets_apply_beside_the_default(tmp_path: Path) -> None:
    found = rules(tmp_path, policy(EXCLUSIVE.replace("Exclusive", "Shared")))

    assert deciding(found, **{"model": "m", "header:x-user": "ann"}) == [5, 7, 10]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("type: Distinct", "type: RegularExpression"), "type RegularExpression is not supported"),
        (("{headers: [{name: X-User, type: Distinct}]}", "{sourceCIDR: {value: 10.0.0.0/8}}"), "by sourceCIDR"),
        (("+ 6 * output_tokens", "> 5u"), "costExpression"),
    ],
)
def test_what_is_not_served_is_named_and_nothing_of_the_policy_is_a_rule(
    tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    (tmp_path / "a.yaml").write_text(policy(EXCLUSIVE.replace(*change)))
    found = load([tmp_path])

    assert found.problems == ()
    (only,) = found.manifests.policies.values()
    assert why in only.unserved
    assert quota_rules(found.manifests) == ()


def test_of_two_policies_on_one_target_the_older_counts_alone(tmp_path: Path) -> None:
    spec = "serviceQuota: {quota: {limit: 100, duration: 60s}}"
    young = policy(spec.replace("100", "7"), "a", "2026-02-01T00:00:00Z")

    assert [rule.limit for rule in rules(tmp_path, young, policy(spec))] == [100]


@pytest.mark.parametrize(
    ("expression", "weights"),
    [
        ("total_tokens", Weights()),
        ("input_tokens + cached_input_tokens * 0.1 + output_tokens * 6", Weights(1, 1.1, 6, 6)),
        ("input_tokens - cached_input_tokens", Weights(1, 0, 0, 0)),
        ("2u*output_tokens", Weights(0, 0, 2, 2)),
        ("output_tokens + 3 * reasoning_tokens", Weights(0, 0, 1, 4)),
        ("", Weights(0, 0, 0, 0)),
        *((text, None) for text in ("input_tokens output_tokens", "input_tokens *", "2 * input_tokens * 3", "tokens",
                                    "- input_tokens", "input_tokens + (output_tokens)", "size(x)", "+ input_tokens")),
    ],
)  # fmt: skip
def test_a_cost_expression_is_a_sum_of_weighed_counts(expression: str, weights: Weights | None) -> None:
    assert linear(expression) == weights
    if weights is not None:
        assert weights.count(Usage(0, 0, 0, 0)) == 0
