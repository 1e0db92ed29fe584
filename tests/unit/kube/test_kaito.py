"""A KAITO Workspace stands for the InferencePool that KAITO's controller would make."""

from pathlib import Path

from gateway.kube.objects import FailureMode, ObjectName
from gateway.kube.resolution.endpoints import pool_endpoints
from gateway.kube.sources.files import load

WORKSPACE = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: workspace-phi-4-mini}
resource:
  instanceType: Standard_NC24ads_A100_v4
  labelSelector: {matchLabels: {apps: phi-4-mini}}
inference:
  preset: {name: phi-4-mini-instruct}
"""
SLICE = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: w, labels: {kaito.sh/workspace: workspace-phi-4-mini}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
"""
POOL = """
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: workspace-phi-4-mini-inferencepool}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}]}
"""
NAME = ObjectName("default", "workspace-phi-4-mini-inferencepool")


def test_a_workspace_yields_its_pool(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WORKSPACE + SLICE)
    loaded = load([tmp_path])

    assert (loaded.problems, loaded.notes) == ((), ())
    pool = loaded.manifests.pools[NAME]
    assert pool.picker is not None
    assert (pool.picker.name, pool.picker.port) == ("workspace-phi-4-mini-inferencepool-epp", 9002)
    assert pool.picker.failure_mode is FailureMode.OPEN
    assert [str(item) for item in pool_endpoints(pool, loaded.manifests, {})] == ["10.0.0.1:5000"]


def test_a_pool_of_that_name_wins(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WORKSPACE + POOL)

    assert load([tmp_path]).manifests.pools[NAME].target_ports == (1,)


def test_a_workspace_that_only_tunes_serves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WORKSPACE.replace("inference:", "tuning:"))

    assert load([tmp_path]).manifests.pools == {}


def test_a_workspace_with_a_template_yields_its_pool_too(tmp_path: Path) -> None:
    text = WORKSPACE.replace("preset: {name: phi-4-mini-instruct}", "template: {spec: {containers: []}}")
    (tmp_path / "a.yaml").write_text(text)

    assert list(load([tmp_path]).manifests.pools) == [NAME]
