"""Policies that restrict access are read as such, whatever they say; those that let everything pass are noted."""

import pytest

from gateway.kube.objects import (
    AccessPolicy,
    LabelSelector,
    PolicyTarget,
)
from tests.unit.kube.documents import head, read_one

SECURITY = head("SecurityPolicy", "gateway.envoyproxy.io/v1alpha1")
ISTIO = "security.istio.io/v1"


@pytest.mark.parametrize(
    "text",
    [
        SECURITY + "spec: {targetRefs: [{group: g, kind: Gateway, name: a}], oidc: {}}",
        head("AuthorizationPolicy", ISTIO) + "spec: {targetRef: {group: g, kind: Gateway, name: a}, rules: []}",
        head("RequestAuthentication", ISTIO) + "spec: {jwtRules: [{issuer: i}], selector: {matchLabels: {a: b}}}",
        head("PeerAuthentication", ISTIO) + "spec: {mtls: {mode: STRICT}}",
        head("PeerAuthentication", ISTIO) + "spec: {portLevelMtls: {8000: {mode: STRICT}}}",
        head("ClientTrafficPolicy", "gateway.envoyproxy.io/v1alpha1") + "spec: {tls: {clientValidation: {}}}",
        head("QuotaPolicy", "aigateway.envoyproxy.io/v1alpha1") + "spec: {}",
        head("BackendTrafficPolicy", "gateway.envoyproxy.io/v1alpha1") + "spec: {rateLimit: {type: Global}}",
        head("AuthPolicy", "kuadrant.io/v1") + "spec: {}",
    ],
)
def test_a_policy_that_restricts_access_is_read(text: str) -> None:
    found, problems, notes = read_one(text)

    assert (problems, notes) == ([], [])
    assert isinstance(found, AccessPolicy)


@pytest.mark.parametrize(
    "text",
    [
        head("AuthorizationPolicy", ISTIO) + "spec: {action: AUDIT}",
        head("PeerAuthentication", ISTIO) + "spec: {mtls: {mode: PERMISSIVE}}",
    ],
)
def test_a_policy_that_lets_everything_pass_is_noted(text: str) -> None:
    found, problems, notes = read_one(text)

    assert (found, problems) == (None, [])
    assert "is without effect here" in notes[0]


def test_the_targets_of_a_policy_are_read() -> None:
    found, problems, _ = read_one(
        SECURITY + "spec:\n  oidc: {}\n  targetRefs: [{group: g, kind: Gateway, name: a, sectionName: s}]\n"
        "  targetSelectors: [{group: g, kind: HTTPRoute, matchLabels: {a: b}}]\n"
    )

    assert problems == []
    assert isinstance(found, AccessPolicy)
    assert found.targets == (
        PolicyTarget("g", "Gateway", "a", "s"),
        PolicyTarget("g", "HTTPRoute", labels=LabelSelector({"a": "b"})),
    )
