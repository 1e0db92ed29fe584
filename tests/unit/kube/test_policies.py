"""Which policies keep somebody out: all but those whose every part is known to keep nobody out."""

from pathlib import Path

import pytest

from gateway.kube.sources.files import load


def restricts(folder: Path, version: str, kind: str, spec: str) -> bool:
    target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]"
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{{target}, {spec}}}\n"
    (folder / "a.yaml").write_text(text)
    found = load([folder])
    assert found.problems == ()
    return bool(found.manifests.policies)


ENVOY = "gateway.envoyproxy.io/v1alpha1"
KGATEWAY = "gateway.kgateway.dev/v1alpha1"
AGENT = "agentgateway.dev/v1alpha1"


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        (ENVOY, "SecurityPolicy", "cors: {}, extAuth: {}"),
        pytest.param(ENVOY, "SecurityPolicy", "addressLists: {deny: []}", id="a-part-that-is-not-known"),
        (ENVOY, "EnvoyExtensionPolicy", "extProc: []"),
        (ENVOY, "BackendTrafficPolicy", "rateLimit: {type: Global}"),
        (KGATEWAY, "TrafficPolicy", "retry: {}, extAuth: {}"),
        (AGENT, "AgentgatewayPolicy", "traffic: {apiKeyAuthentication: {}}"),
        ("gateway.nginx.org/v1alpha1", "RateLimitPolicy", "rateLimit: {}"),
        ("networking.gke.io/v1", "GCPBackendPolicy", "default: {iap: {enabled: true}}"),
        ("extensions.istio.io/v1alpha1", "WasmPlugin", "url: oci://x, phase: AUTHZ"),
        ("security.istio.io/v1", "PeerAuthentication", "portLevelMtls: {8000: {mode: STRICT}}"),
    ],
)
def test_a_policy_restricts(tmp_path: Path, version: str, kind: str, spec: str) -> None:
    assert restricts(tmp_path, version, kind, spec)


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        (ENVOY, "BackendTrafficPolicy", "retry: {numRetries: 1}"),
        (KGATEWAY, "TrafficPolicy", "timeouts: {}"),
        (AGENT, "AgentgatewayPolicy", "traffic: {retry: {}}, frontend: {}"),
        ("networking.gke.io/v1", "GCPBackendPolicy", "default: {timeoutSec: 300}"),
        ("extensions.istio.io/v1alpha1", "WasmPlugin", "url: oci://x"),
        ("security.istio.io/v1", "PeerAuthentication", "mtls: {mode: PERMISSIVE}"),
    ],
)
def test_a_policy_that_keeps_nobody_out_is_noted(tmp_path: Path, version: str, kind: str, spec: str) -> None:
    assert not restricts(tmp_path, version, kind, spec)
    (note,) = load([tmp_path]).notes
    assert f"{kind} is without effect here" in str(note)
