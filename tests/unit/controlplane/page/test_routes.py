"""What the page says of routes."""

from pathlib import Path

from controlplane.options import Options
from controlplane.page.routes import SHOWN, shown
from controlplane.plan.planning import plan
from tests.unit.controlplane.manifest_texts import manifests

GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""
POOLS = "---\n".join(
    f"""apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {name}}}
spec: {{selector: {{matchLabels: {{app: {name}}}}}, targetPorts: [{{number: 8000}}],
  endpointPickerRef: {{name: epp, port: {{number: 9002}}}}}}
"""
    for name in ("one", "two")
)
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  hostnames: [llm.example]
  rules:
  - matches:
    - path: {value: /v1}
      method: POST
      headers: [{name: X-Gateway-Model-Name, value: m}, {name: tier, value: gold}]
    backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: one, weight: 90}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: two, weight: 10}
  - matches: [{path: {type: Exact, value: /x}, queryParams: [{name: a, value: b}]}]
    backendRefs: [{name: absent, port: 80}]
"""


def rows(folder: Path, *texts: str):
    return shown(plan(manifests(folder, *texts), {}, Options(port_map={80: 8080})).ports)


def backend(name: str, weight: int) -> dict[str, object]:
    shown = {"name": f"InferencePool default/{name}", "cluster": f"pool_default_{name}"}
    return {**shown, "weight": weight, "share": weight / 100, "fault": ""}


def test_a_row_says_where_requests_go_and_in_which_shares(tmp_path: Path) -> None:
    found = rows(tmp_path, GATEWAY, POOLS, ROUTE)["routes"]

    by_path = {row["path"]: row for row in found}
    assert by_path["/v1…"] == {
        "port": 8080, "host": "llm.example", "route": "default/r", "path": "/v1…", "model": "m",
        "conditions": ["POST", "tier: gold"], "refused": False,
        "backends": [backend("one", 90), backend("two", 10)],
    }  # fmt: skip


def test_a_backend_that_leads_nowhere_says_why(tmp_path: Path) -> None:
    (row,) = (row for row in rows(tmp_path, GATEWAY, POOLS, ROUTE)["routes"] if row["path"] == "/x")

    (backend,) = row["backends"]
    assert (row["conditions"], backend["name"], backend["cluster"]) == (["?a=b"], "nothing", None)
    assert "absent" in backend["fault"]


def test_of_very_many_routes_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    many = [ROUTE.replace("name: r}", f"name: r{number}}}") for number in range(SHOWN // 2 + 3)]

    found = rows(tmp_path, GATEWAY, POOLS, *many)

    assert (len(found["routes"]), found["more"]) == (SHOWN, 6)
