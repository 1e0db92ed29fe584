"""A KAITO Workspace stands for the InferencePool that KAITO's controller would make."""

from pathlib import Path

from gateway.kube.objects import FailureMode, ObjectName
from gateway.kube.resolution.base_models import base_models
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
INFERENCE_SET = """
apiVersion: kaito.sh/v1alpha1
kind: InferenceSet
metadata: {name: phi}
spec:
  replicas: 2
  labelSelector: {matchLabels: {apps: phi}}
  template:
    inference: {preset: {accessMode: public, name: phi-4-mini-instruct}}
    resource: {instanceType: Standard_NC24ads_A100_v4}
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


def test_a_workspace_names_its_model_and_adapters(tmp_path: Path) -> None:
    adapter = "  adapters: [{source: {name: adapter-phi, image: registry.example/adapter:1}, strength: '0.9'}]\n"
    (tmp_path / "a.yaml").write_text(WORKSPACE.rstrip() + f"\n{adapter}")

    names = base_models(load([tmp_path]).manifests).names

    assert names == {"phi-4-mini-instruct": "phi-4-mini-instruct", "adapter-phi": "phi-4-mini-instruct"}


def test_only_the_leaders_of_numbered_pods_are_endpoints(tmp_path: Path) -> None:
    label = "kaito.sh/workspace: workspace-phi-4-mini"
    numbered = "".join(
        SLICE.replace(label, f"{label}, apps.kubernetes.io/pod-index: '{index}'")
        .replace("name: w", f"name: w{index}")
        .replace("10.0.0.1", f"10.0.0.{index + 1}")
        for index in range(2)
    )
    (tmp_path / "a.yaml").write_text(WORKSPACE + numbered)
    manifests = load([tmp_path]).manifests

    assert [str(item) for item in pool_endpoints(manifests.pools[NAME], manifests, {})] == ["10.0.0.1:5000"]


def test_an_inference_set_yields_one_pool_of_all_its_workspaces(tmp_path: Path) -> None:
    owned = SLICE.replace("kaito.sh/workspace: workspace-phi-4-mini", "inferenceset.kaito.sh/created-by: phi")
    (tmp_path / "a.yaml").write_text(INFERENCE_SET + owned)
    loaded = load([tmp_path])

    assert (loaded.problems, loaded.notes) == ((), ())
    pool = loaded.manifests.pools[ObjectName("default", "phi-inferencepool")]
    assert [str(item) for item in pool_endpoints(pool, loaded.manifests, {})] == ["10.0.0.1:5000"]
    assert base_models(loaded.manifests).names == {"phi-4-mini-instruct": "phi-4-mini-instruct"}
