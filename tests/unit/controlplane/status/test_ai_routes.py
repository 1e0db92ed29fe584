"""An AIGatewayRoute says whether it is served, in a status of its own."""

from pathlib import Path

import pytest
import yaml

from controlplane.document import tree
from controlplane.options import Options
from controlplane.plane import View
from controlplane.render import render
from controlplane.status.report import complaints
from controlplane.status.tables import manifests as objects
from controlplane.status.tables import table
from tests.unit.controlplane.manifest_texts import gateway, manifests

ROUTE = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata: {{name: ai, generation: 4}}
spec:
  parentRefs: [{{name: {parent}, kind: Gateway, group: gateway.networking.k8s.io}}]
  rules:
  - matches: [{{headers: [{{type: Exact, name: x-ai-eg-model, value: m}}]}}]
    backendRefs: [{{name: b}}]
"""


@pytest.mark.parametrize(
    ("parent", "status", "reason", "message"),
    [
        ("g", "True", "Accepted", "served as HTTPRoute default/ai"),
        ("h", "False", "NotAccepted", "no Gateway default/h"),
    ],
)
def test_it_is_accepted_where_its_http_route_is(
    tmp_path: Path, parent: str, status: str, reason: str, message: str
) -> None:
    found = manifests(tmp_path, gateway(), ROUTE.format(parent=parent))
    shown = tree(View(status=render(found, {}, Options()).status))

    (own,) = [item for item in yaml.safe_load_all(objects(shown)) if item["kind"] == "AIGatewayRoute"]
    assert own["apiVersion"] == "aigateway.envoyproxy.io/v1alpha1"
    assert own["status"]["conditions"] == [
        {"type": "Accepted", "status": status, "reason": reason, "message": message, "observedGeneration": 4}
    ]
    assert "AIGATEWAYROUTE" in table(shown)


def test_a_cost_that_nothing_here_counts_is_named(tmp_path: Path) -> None:
    costs = "{metadataKey: in, type: InputToken}, {metadataKey: price, type: CEL, cel: 'input_tokens'}"
    route = f"{ROUTE.format(parent='g')}  llmRequestCosts: [{costs}]\n"
    found = render(manifests(tmp_path, gateway(), route), {}, Options())

    (accepted, partial) = found.status.ai_routes[0].conditions
    assert (accepted.is_true, partial.type, partial.is_true) == (True, "PartiallyInvalid", True)
    message = "llmRequestCosts price: type CEL is not supported, the cost is not written"
    assert partial.message == message
    assert any(message in line for line in complaints(found.status))
