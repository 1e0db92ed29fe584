"""Manifests become pools: endpoints, priorities, rewrites in their order of precedence."""

from pathlib import Path

import pytest

from epp.discovery import PriorityOrder, pool_specs
from epp.domain import PoolId, Request, RewriteRule, RewriteTarget
from epp.picking.objectives import priority_of
from gateway.kube.sources.files import load
from gateway.wire import protocol

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: a}
spec:
  selector: {matchLabels: {app: vllm}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: epp, port: {number: 9002}}
---
"""
SLICES = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: four, labels: {app: vllm, zone: x}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: pod-1}}
- {addresses: [10.0.0.2], conditions: {ready: false}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: six, labels: {app: vllm}}
addressType: IPv6
endpoints: [{addresses: ["fd00::1"]}]
ports: [{name: http, port: 9000}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: names, labels: {app: vllm}}
addressType: FQDN
endpoints: [{addresses: [model-sim]}]
---
"""
OBJECTIVES = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: food}
spec: {priority: 4, poolRef: {name: a}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: elsewhere}
spec: {priority: 9, poolRef: {name: b}}
---
"""


def specs(folder: Path, text: str, addresses: dict[str, tuple[str, ...]] | None = None):
    (folder / "all.yaml").write_text(text)
    loaded = load([folder])
    assert loaded.problems == ()
    return pool_specs(loaded.manifests, addresses or {})


def test_endpoints_come_from_slices_and_names_from_their_addresses(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path, POOL + SLICES, {"model-sim": ("10.1.0.1", "10.1.0.2")}).values()
    assert spec.id == "default/a"
    assert {endpoint.id for endpoint in spec.endpoints} == {
        "10.0.0.1:8000", "[fd00::1]:9000", "10.1.0.1:8000", "10.1.0.2:8000",
    }  # fmt: skip
    named = {endpoint.id: endpoint for endpoint in spec.endpoints}["10.0.0.1:8000"]
    assert (named.address, named.port, named.name, named.labels["zone"]) == ("10.0.0.1", 8000, "pod-1", "x")


def test_objectives_of_the_pool_give_priorities_and_others_do_not(tmp_path: Path) -> None:
    assert specs(tmp_path, POOL + OBJECTIVES)[PoolId("default/a")].priorities == {"food": 4}


REWRITE = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {{name: {name}, creationTimestamp: "{created}"}}
spec:
  poolRef: {{name: a}}
  rules:
{rules}
---
"""


def rule(match: str, *targets: str) -> str:
    listed = "".join(f"    - {target}\n" for target in targets)
    matches = f'    matches: [{{model: {{value: "{match}"}}}}]\n' if match else "    matches: []\n"
    return f"  -\n{matches}    targets:\n{listed}"


def test_exact_rules_come_before_generic_ones_and_older_before_newer(tmp_path: Path) -> None:
    newer = REWRITE.format(name="n", created="2026-02-01T00:00:00Z", rules=rule("m", "{modelRewrite: new}"))
    older = REWRITE.format(
        name="o", created="2026-01-01T00:00:00Z",
        rules=rule("", "{modelRewrite: any}") + rule("m", "{modelRewrite: old, weight: 3}", "{modelRewrite: other}"),
    )  # fmt: skip
    rules = specs(tmp_path, POOL + newer + older)[PoolId("default/a")].rewrites
    assert [tuple(target.model for target in found.targets) for found in rules] == [
        ("old", "other"),
        ("new",),
        ("any",),
    ]
    assert rules[0] == RewriteRule(frozenset({"m"}), (RewriteTarget("old", 3), RewriteTarget("other", 0)), "o")


def test_targets_without_weights_are_chosen_evenly(tmp_path: Path) -> None:
    text = REWRITE.format(
        name="n", created="2026-02-01T00:00:00Z", rules=rule("m", "{modelRewrite: a}", "{modelRewrite: b}")
    )
    (found,) = specs(tmp_path, POOL + text)[PoolId("default/a")].rewrites
    assert [target.weight for target in found.targets] == [1, 1]


INTERACTIVE_FIRST = "\n---\n".join(
    f"""
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {{name: {name}}}
spec: {{priority: {priority}, poolRef: {{name: a}}}}"""
    for name, priority in {"interactive": 1, "batch": 2, "spare": -1, "waste": -2}.items()
)


def test_the_lower_priority_may_be_the_more_important_one(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(POOL + INTERACTIVE_FIRST)
    manifests = load([tmp_path]).manifests

    as_written = pool_specs(manifests, {})[PoolId("default/a")].priorities
    lower_first = pool_specs(manifests, {}, PriorityOrder.LOWER_FIRST)[PoolId("default/a")].priorities

    assert as_written == {"interactive": 1, "batch": 2, "spare": -1, "waste": -2}
    assert lower_first == {"interactive": 2, "batch": 1, "spare": -2, "waste": -1}


@pytest.mark.parametrize(
    ("order", "ceiling", "expected"),
    [
        (PriorityOrder.HIGHER_FIRST, "1", [1, 1, -1, -2]),
        (PriorityOrder.HIGHER_FIRST, "-2", [-2, -2, -2, -2]),
        (PriorityOrder.LOWER_FIRST, "2", [1, 1, -2, -1]),
        (PriorityOrder.LOWER_FIRST, "-2", [-1, -1, -2, -1]),
        (PriorityOrder.HIGHER_FIRST, "no number", [1, 2, -1, -2]),
    ],
)
def test_no_request_is_more_important_than_its_tenants_ceiling(
    tmp_path: Path, order: PriorityOrder, ceiling: str, expected: list[int]
) -> None:
    (tmp_path / "all.yaml").write_text(POOL + INTERACTIVE_FIRST)
    found = pool_specs(load([tmp_path]).manifests, {}, order)[PoolId("default/a")]

    def priority(objective: str) -> int:
        headers = {protocol.OBJECTIVE: objective, protocol.PRIORITY_CEILING: ceiling}
        return priority_of(Request(found.id, "POST", "/", headers), None, found)

    assert [priority(name) for name in ("interactive", "batch", "spare", "waste")] == expected
