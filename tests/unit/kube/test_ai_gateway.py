"""Envoy AI Gateway's objects in the kinds that everything else knows."""

from pathlib import Path

import pytest

from gateway.kube.objects import (
    Changes,
    CostType,
    CredentialOverride,
    Manifests,
    ObjectName,
    RequestCost,
    overridden,
)
from gateway.kube.resolution.endpoints import pool_endpoints, service_endpoints
from gateway.kube.sources.files import load

AI = "apiVersion: aigateway.envoyproxy.io/v1alpha1\n"
RULES = """
rules:
- matches:
  - headers:
    - type: Exact
      name: x-target-inference-extension
      value: "yes"
  backendRefs:
  - name: inference-extension-example-pool
    kind: InferencePool
- matches:
  - headers:
    - type: Exact
      name: x-target-inference-extension
      value: "no"
  backendRefs:
  - name: my-ai-service-backend
"""
ROUTE = (
    f"{AI}kind: AIGatewayRoute\nmetadata: {{name: r}}\nspec:\n  schema: {{name: OpenAI}}\n"
    "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]\n"
    + RULES.strip().replace("rules:", "  rules:").replace("\n", "\n  ")
)
POOL = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: inference-extension-example-pool}
spec:
  selector:
    app: my-backend
"""
BACKEND = f"""
{AI}kind: AIServiceBackend
metadata: {{name: my-ai-service-backend, labels: {{app: my-backend}}}}
spec:
  schema: {{name: OpenAI}}
  backendRef: {{group: gateway.envoyproxy.io, kind: Backend, name: b}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: b}}
spec:
  endpoints:
  - ip: {{address: 10.0.0.1, port: 8001}}
  - fqdn: {{hostname: model.example, port: 8002}}
"""
NAMES = {"model.example": ("10.0.0.2",)}


def loaded(folder: Path, *texts: str) -> Manifests:
    (folder / "a.yaml").write_text("\n---\n".join(texts))
    found = load([folder])
    assert found.problems == ()
    return found.manifests


def test_a_route_is_the_http_route_of_its_name(tmp_path: Path) -> None:
    route = loaded(tmp_path, ROUTE, POOL, BACKEND).routes[ObjectName("default", "r")]

    assert [parent.id.name for parent in route.parents] == ["g"]
    assert [rule.matches[0].headers[0].value for rule in route.rules] == ["yes", "no"]
    pool, service = (rule.backends[0] for rule in route.rules)
    assert pool.is_pool
    assert service.is_service


def test_a_pool_has_the_endpoints_of_the_backends_that_it_selects(tmp_path: Path) -> None:
    found = loaded(tmp_path, ROUTE, POOL, BACKEND)
    (pool,) = found.pools.values()
    (_, rule) = found.routes[ObjectName("default", "r")].rules

    direct = service_endpoints(found, *rule.backends[0].id, rule.backends[0].port or 0, NAMES)
    assert [str(item) for item in pool_endpoints(pool, found, NAMES)] == ["10.0.0.1:8001", "10.0.0.2:8002"]
    assert [str(item) for item in direct] == ["10.0.0.1:8001", "10.0.0.2:8002"]


def test_a_backend_that_is_a_pool_leads_there(tmp_path: Path) -> None:
    ref = "{group: inference.networking.x-k8s.io, kind: InferencePool, name: p}"
    backend = f"{AI}kind: AIServiceBackend\nmetadata: {{name: my-ai-service-backend}}\nspec: {{backendRef: {ref}}}\n"
    route = loaded(tmp_path, ROUTE, backend).routes[ObjectName("default", "r")]

    assert (route.rules[1].backends[0].is_pool, route.rules[1].backends[0].id.name) == (True, "p")


def test_changes_of_a_reference_come_after_those_of_its_backend(tmp_path: Path) -> None:
    reference = (
        "- {name: my-ai-service-backend, modelNameOverride: m, priority: 1,"
        " headerMutation: {set: [{name: X-Team, value: route}], remove: [x-secret]},"
        ' bodyMutation: {set: [{path: max_tokens, value: "5"}], remove: [user]}}'
    )
    backend = f"""{AI}kind: AIServiceBackend
metadata: {{name: my-ai-service-backend}}
spec:
  schema: {{name: OpenAI, prefix: /v1beta/openai}}
  backendRef: {{group: inference.networking.x-k8s.io, kind: InferencePool, name: p}}
  headerMutation: {{set: [{{name: x-team, value: backend}}, {{name: x-secret, value: a}}]}}
  bodyMutation: {{set: [{{path: user, value: '"u"'}}]}}
"""
    written = ROUTE.replace("- name: my-ai-service-backend", reference)
    ref = loaded(tmp_path, written, backend).routes[ObjectName("default", "r")].rules[1].backends[0]

    assert (ref.is_pool, ref.priority) == (True, 1)
    assert ref.changes == Changes(
        set_headers=(("x-team", "route"),),
        removed_headers=("x-secret",),
        fields=(("model", '"m"'), ("max_tokens", "5")),
        removed_fields=("user",),
        prefix="v1beta/openai",
    )


def test_a_value_of_a_body_that_is_no_json_is_a_problem(tmp_path: Path) -> None:
    mutation = "{name: my-ai-service-backend, bodyMutation: {set: [{path: a, value: text}]}}"
    (tmp_path / "a.yaml").write_text(ROUTE.replace("- name: my-ai-service-backend", f"- {mutation}"))

    (problem,) = load([tmp_path]).problems
    assert "rules[1].backendRefs[0].bodyMutation.set[0].value: expected JSON" in str(problem)


def test_the_endpoints_of_a_backend_with_another_schema_belong_to_no_pool(tmp_path: Path) -> None:
    found = loaded(tmp_path, POOL, BACKEND.replace("name: OpenAI", "name: AWSBedrock"))
    pool = found.pools[ObjectName("default", "inference-extension-example-pool")]

    assert pool_endpoints(pool, found, NAMES) == ()


@pytest.mark.parametrize(
    ("policy", "secret"),
    [
        ("type: APIKey, apiKey: {secretRef: {name: s}}", ObjectName("default", "s")),
        ("type: AnthropicAPIKey, anthropicAPIKey: {secretRef: {name: s, namespace: n}}", ObjectName("n", "s")),
        ("type: AWSCredentials, awsCredentials: {region: x, credentialsFile: {}}", None),
    ],
)
def test_a_security_policy_says_where_its_key_is(tmp_path: Path, policy: str, secret: ObjectName | None) -> None:
    target = "targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: b}]"
    found = loaded(tmp_path, f"{AI}kind: BackendSecurityPolicy\nmetadata: {{name: p}}\nspec: {{{policy}, {target}}}\n")

    assert found.security_policies[ObjectName("default", "p")].secret == secret


def test_a_bare_fragment_says_what_is_missing_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(RULES)

    (problem,) = load([tmp_path]).problems
    assert "a fragment with rules" in str(problem)


POLICY = f"{AI}kind: BackendSecurityPolicy\nmetadata: {{name: p}}\nspec: {{%s}}\n"
KEY = "type: AnthropicAPIKey, anthropicAPIKey: {secretRef: {name: s}}"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fromRequestHeaders: {}", CredentialOverride(header="x-aigw-anthropic-api-key")),
        ("fromRequestHeaders: {header: X-A, fallbackToConfigured: false}", CredentialOverride("x-a", falls_back=False)),
        ("fromDynamicMetadata: {namespace: n}", CredentialOverride(namespace="n", key="x-aigw-anthropic-api-key")),
    ],
)
def test_a_key_may_come_with_the_request(tmp_path: Path, override: str, expected: CredentialOverride) -> None:
    found = loaded(tmp_path, POLICY % f"{KEY}, credentialOverride: {{{override}}}")

    assert found.security_policies[ObjectName("default", "p")].override == expected


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (f"{KEY}, apiKey: {{secretRef: {{name: s}}}}", "spec.apiKey: only for type APIKey"),
        (f"{KEY}, credentialOverride: {{}}", "spec.credentialOverride: exactly one of"),
        (
            f"{KEY}, credentialOverride: {{fromRequestHeaders: {{}}, fromDynamicMetadata: {{namespace: n}}}}",
            "spec.credentialOverride: exactly one of",
        ),
        (f"{KEY}, targetRefs: [{{group: a, kind: AIServiceBackend, name: b}}]", "spec.targetRefs[0].kind: expected"),
    ],
)
def test_what_the_api_refuses_of_a_security_policy_is_a_problem(tmp_path: Path, spec: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(POLICY % spec)

    (problem,) = load([tmp_path]).problems
    assert why in str(problem)


COSTS = "[{metadataKey: a, type: InputToken}, {metadataKey: b}, {metadataKey: c, type: CEL, cel: 'input_tokens'}]"


def test_a_route_and_its_gateway_say_what_is_counted(tmp_path: Path) -> None:
    gateway = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g, annotations: {aigateway.envoyproxy.io/gateway-config: usual}}
spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""
    config = f"{AI}kind: GatewayConfig\nmetadata: {{name: usual}}\nspec: {{globalLLMRequestCosts: {COSTS}}}\n"
    found = loaded(tmp_path, ROUTE + f"\n  llmRequestCosts: {COSTS}\n", POOL, BACKEND, gateway, config)

    counted = (
        RequestCost("a", CostType.INPUT),
        RequestCost("b", CostType.OUTPUT),
        RequestCost("c", CostType.CEL),
    )
    assert found.routes[ObjectName("default", "r")].costs == counted
    assert found.gateways[ObjectName("default", "g")].costs == counted


def test_a_routes_cost_stands_in_place_of_its_gateways() -> None:
    usual = (RequestCost("a", CostType.INPUT), RequestCost("b", CostType.INPUT))

    assert overridden(usual, (RequestCost("b", CostType.TOTAL),)) == (usual[0], RequestCost("b", CostType.TOTAL))


@pytest.mark.parametrize(
    ("costs", "why"),
    [
        ("[{metadataKey: a, type: CEL}]", "llmRequestCosts[0].cel: required"),
        ("[{metadataKey: a, type: Tokens}]", "llmRequestCosts[0].type: expected one of InputToken"),
        ("[{metadataKey: a}, {metadataKey: a}]", "llmRequestCosts: each metadataKey may be written once"),
    ],
)
def test_a_cost_that_the_api_refuses_is_a_problem(tmp_path: Path, costs: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(ROUTE + f"\n  llmRequestCosts: {costs}\n")

    (problem,) = load([tmp_path]).problems
    assert why in str(problem)


def test_a_pool_without_its_group_is_taken_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{ROUTE}\n---\n{POOL}\n---\n{BACKEND}")
    found = load([tmp_path])

    assert found.problems == ()
    assert any("rules[0].backendRefs[0].kind: upstream wants a group" in str(note) for note in found.notes)


def test_a_backend_may_be_a_service_whose_pods_are_there(tmp_path: Path) -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: x}, ports: [{port: 80}]}\n"
    pod = """apiVersion: v1
kind: Pod
metadata: {name: x, labels: {app: x}}
status: {podIP: 10.0.0.5, conditions: [{type: Ready, status: "True"}]}
"""
    backend = BACKEND.split("---")[0].replace(
        "{group: gateway.envoyproxy.io, kind: Backend, name: b}", "{name: s, port: 80}"
    )
    found = loaded(tmp_path, POOL, backend, service, pod)
    (pool,) = found.pools.values()

    assert [str(item) for item in pool_endpoints(pool, found, NAMES)] == ["10.0.0.5:80"]


@pytest.mark.parametrize(
    ("written", "instead", "why"),
    [
        ("kind: Gateway, name: g", "kind: Service, name: g", "targetRefs[0].kind: only a Gateway can be a parent"),
        ("- matches:", "- name: route-not-found\n    matches:", "rules[0].name: reserved"),
        ("- matches:", "- name: a\n    matches:", "rules: rule names must be unique within the route"),
        ("schema: {name: OpenAI}", "schema: {name: Cats}", "schema.name: expected one of OpenAI, Cohere"),
    ],
)
def test_what_the_api_refuses_of_a_route_is_a_problem(tmp_path: Path, written: str, instead: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(ROUTE.replace(written, instead))

    assert any(why in str(problem) for problem in load([tmp_path]).problems)


def test_a_backend_that_is_a_fallback_is_of_a_lower_tier(tmp_path: Path) -> None:
    found = loaded(tmp_path, ROUTE, BACKEND.replace("spec:\n  endpoints", "spec:\n  fallback: true\n  endpoints"))

    priorities = [rule.backends[0].priority for rule in found.routes[ObjectName("default", "r")].rules]
    assert priorities == [0, 1]
