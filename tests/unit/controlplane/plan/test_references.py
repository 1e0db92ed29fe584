"""References of Envoy AI Gateway's objects across namespaces and kinds: where they lead, and whether they may."""

from pathlib import Path

import pytest

from controlplane.options import Options
from controlplane.plan.planning import Plan, plan
from controlplane.status.conditions import Condition
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool

AI = "aigateway.envoyproxy.io"
BACKEND = f"{{group: {AI}, kind: AIServiceBackend, name: b%s}}"
OBJECTS = f"""apiVersion: {AI}/v1beta1
kind: AIServiceBackend
metadata: {{name: b, namespace: %s}}
spec: {{schema: {{name: OpenAI}}, backendRef: {{group: gateway.envoyproxy.io, kind: Backend, name: e}}}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: e, namespace: %s}}
spec: {{endpoints: [{{ip: {{address: 10.0.0.1, port: 8000}}}}]}}
"""


def route(kind: str, ref: str) -> str:
    version = "gateway.networking.k8s.io/v1" if kind == "HTTPRoute" else f"{AI}/v1beta1"
    return (
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: r}}\n"
        f"spec: {{parentRefs: [{{name: g}}], rules: [{{backendRefs: [{ref}]}}]}}\n"
    )


def grant(by: str, group: str, kind: str) -> str:
    by_group = "gateway.networking.k8s.io" if by == "HTTPRoute" else AI
    peers = f"from: [{{group: {by_group}, kind: {by}, namespace: default}}], to: [{{group: '{group}', kind: {kind}}}]"
    return (
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: x, namespace: other}\n"
        f"spec: {{{peers}}}\n"
    )


def planned(folder: Path, *texts: str) -> Plan:
    return plan(manifests(folder, gateway(), *texts), {}, Options())


def resolved(found: Plan) -> Condition:
    return next(item for item in found.status.routes[0].parents[0].conditions if item.type == "ResolvedRefs")


@pytest.mark.parametrize(
    "ref", [BACKEND % "", "{group: gateway.envoyproxy.io, kind: Backend, name: e}"], ids=["AIServiceBackend", "Backend"]
)
def test_an_http_route_may_lead_to_such_a_backend(tmp_path: Path, ref: str) -> None:
    found = planned(tmp_path, route("HTTPRoute", ref), OBJECTS.replace("%s", "default"))

    assert resolved(found).is_true
    reached = [member.address for service in found.services for member in service.group.members]
    assert reached == ["10.0.0.1"]


@pytest.mark.parametrize("kind", ["AIGatewayRoute", "HTTPRoute"])
def test_another_namespace_must_grant_what_the_author_wrote(tmp_path: Path, kind: str) -> None:
    texts = (route(kind, BACKEND % ", namespace: other"), OBJECTS.replace("%s", "other"))

    refused = planned(tmp_path, *texts)
    granted = planned(tmp_path, *texts, grant(kind, AI, "AIServiceBackend"))
    service = planned(tmp_path, *texts, grant(kind, "", "Service"))

    assert (resolved(refused).reason, resolved(service).reason) == ("RefNotPermitted", "RefNotPermitted")
    assert resolved(granted).is_true


@pytest.mark.parametrize("by", ["AIGatewayRoute", "HTTPRoute"])
def test_an_ai_route_refers_to_a_pool_as_itself_or_as_its_http_route(tmp_path: Path, by: str) -> None:
    ref = "{group: inference.networking.k8s.io, kind: InferencePool, name: p, namespace: other}"
    texts = (route("AIGatewayRoute", ref), pool(namespace="other"))

    assert resolved(planned(tmp_path, *texts)).reason == "RefNotPermitted"
    assert resolved(planned(tmp_path, *texts, grant(by, "inference.networking.k8s.io", "InferencePool"))).is_true


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("", "no AIServiceBackend default/b"),
        (OBJECTS.split("---")[0], "AIServiceBackend default/b: no Backend default/e"),
        (OBJECTS.split("---")[0].replace("kind: Backend", "kind: Thing"), "b: Thing is no kind of backend"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, objects: str, message: str) -> None:
    texts = [objects.replace("%s", "default")] if objects else []
    found = resolved(planned(tmp_path, route("AIGatewayRoute", BACKEND % ""), *texts))

    assert not found.is_true
    assert message in found.message


def test_a_key_of_another_namespace_must_be_granted(tmp_path: Path) -> None:
    policy = f"""apiVersion: {AI}/v1beta1
kind: BackendSecurityPolicy
metadata: {{name: s}}
spec:
  targetRefs: [{{group: {AI}, kind: AIServiceBackend, name: b}}]
  type: APIKey
  apiKey: {{secretRef: {{name: key, namespace: other}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key, namespace: other}}
stringData: {{apiKey: sk}}
"""
    texts = (route("AIGatewayRoute", BACKEND % ""), OBJECTS.replace("%s", "default"), policy)

    assert "no ReferenceGrant lets it refer to Secret other/key" in resolved(planned(tmp_path, *texts)).message
    assert resolved(planned(tmp_path, *texts, grant("BackendSecurityPolicy", "", "Secret"))).is_true


def test_a_backend_of_another_namespace_must_be_granted_to_the_ai_backend(tmp_path: Path) -> None:
    backend, endpoint = OBJECTS.split("---")
    objects = backend.replace("name: e}", "name: e, namespace: other}") % "default" + "---" + endpoint % "other"
    texts = (route("AIGatewayRoute", BACKEND % ""), objects)

    refused = resolved(planned(tmp_path, *texts))
    assert (refused.reason, "ReferenceGrant" in refused.message) == ("RefNotPermitted", True)
    assert resolved(planned(tmp_path, *texts, grant("AIServiceBackend", "gateway.envoyproxy.io", "Backend"))).is_true
