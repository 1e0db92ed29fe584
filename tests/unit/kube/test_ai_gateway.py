"""Envoy AI Gateway's objects in the kinds that everything else knows."""

from pathlib import Path

from gateway.kube.objects import Manifests, ObjectName, UnservedFilter
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


def test_a_change_of_the_request_that_is_not_supported_is_no_open_way(tmp_path: Path) -> None:
    text = ROUTE.replace("- name: my-ai-service-backend", "- {name: my-ai-service-backend, modelNameOverride: m}")
    route = loaded(tmp_path, text).routes[ObjectName("default", "r")]

    assert route.rules[1].backends[0].filters == (UnservedFilter("modelNameOverride"),)


def test_another_schema_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BACKEND.replace("name: OpenAI", "name: AWSBedrock"))

    (problem,) = load([tmp_path]).problems
    assert "schema AWSBedrock is not supported; OpenAI is" in str(problem)


def test_a_bare_fragment_says_what_is_missing_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(RULES)

    (problem,) = load([tmp_path]).problems
    assert "a fragment with rules" in str(problem)
