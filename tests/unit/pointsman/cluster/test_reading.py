"""Workloads as a cluster's YAML has them."""

from pathlib import Path

import pytest

from gateway.kube.objects import ContainerPort, Manifests, ObjectName
from pointsman.cluster.environment import Pod, environment_of
from pointsman.cluster.mounts import mounted, with_files
from pointsman.cluster.picker import configurations
from pointsman.cluster.reading import workloads_of
from pointsman.cluster.servers import served_models
from tests.conftest import ROOT
from tests.unit.pointsman.cluster.reading import documents_in, manifests_in, workloads_in

TEMPLATE = """{metadata: {labels: {app: a}, annotations: {note: n}}, spec: {
  containers: [{name: c, image: vllm/vllm-openai, args: [--model, M], ports: [{name: http, containerPort: 8000}],
    envFrom: [{configMapRef: {name: all}}],
    env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
      {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
      {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}},
      {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}},
      {name: TOKEN, valueFrom: {secretKeyRef: {name: absent, key: k}}},
      {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}},
      {name: PATH, value: /image/bin},
      {name: URL, value: "http://$(POD_IP):$(PORT)"}],
    volumeMounts: [{name: v, mountPath: /etc/c}, {name: v, mountPath: /one, subPath: b.yaml}]}],
  volumes: [{name: v, configMap: {name: files}}]}}"""
DEPLOYMENT = f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: d, namespace: n}}
spec: {{replicas: 2, template: {TEMPLATE}}}
"""
OTHERS = """apiVersion: v1
kind: ConfigMap
metadata: {name: all, namespace: n}
data: {PORT: '8000'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: files, namespace: n}
data: {a.yaml: 'a: 1', b.yaml: 'b: 1'}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: n}
stringData: {k: secret}
"""


def test_variables_are_those_that_a_cluster_would_set() -> None:
    (workload,) = workloads_in(DEPLOYMENT)
    (container,) = workload.template.containers
    pod = Pod(ObjectName("n", "d-1"), workload.labels_of(1), "127.0.1.2", workload.template)

    assert container.ports == (ContainerPort("http", 8000, "TCP"),)
    assert environment_of(container, pod, manifests_in(OTHERS)) == {
        "PORT": "8000", "POD_NAME": "d-1", "POD_IP": "127.0.1.2", "APP": "a", "NOTE": "n", "KEY": "secret",
        "URL": "http://127.0.1.2:8000",
    }  # fmt: skip


def test_files_of_config_maps_are_copied_for_arguments_that_name_them() -> None:
    (workload,) = workloads_in(DEPLOYMENT)
    (container,) = workload.template.containers
    files = mounted(container, workload.template, "n", manifests_in(OTHERS))

    words, copies = with_files(["--config", "/etc/c/a.yaml", "--x=/one", "/etc/c/none"], files, Path("/run"))

    assert words == ("--config", "/run/etc-c-a.yaml", "--x=/run/one", "/etc/c/none")
    assert copies == {Path("/run/etc-c-a.yaml"): "a: 1", Path("/run/one"): "b: 1"}


@pytest.mark.parametrize(
    ("kind", "spec", "labels"),
    [
        ("apps/v1 StatefulSet", f"{{template: {TEMPLATE}}}", {"apps.kubernetes.io/pod-index": "0"}),
        (
            "leaderworkerset.x-k8s.io/v1 LeaderWorkerSet",
            f"{{leaderWorkerTemplate: {{size: 2, workerTemplate: {{}}, leaderTemplate: {TEMPLATE}}}}}",
            {"leaderworkerset.sigs.k8s.io/worker-index": "0"},
        ),
    ],
)
def test_pods_have_the_labels_that_their_controller_adds(kind: str, spec: str, labels: dict[str, str]) -> None:
    version, name = kind.split()

    (workload,) = workloads_in(f"{{apiVersion: {version}, kind: {name}, metadata: {{name: w}}, spec: {spec}}}")

    assert workload.replicas == 1
    assert (workload.labels_of(0).items() >= labels.items(), workload.labels_of(0)["app"]) == (True, "a")


def test_a_preset_of_kaito_is_served_under_its_name() -> None:
    text = (ROOT / "tests/data/manifests/kaito/all.yaml").read_text()

    found = workloads_in(text)

    assert [served_models(each.template.containers[0].command[2:]) for each in found] == [
        ("phi-4-mini-instruct",), ("mistral-7b-instruct",),
    ]  # fmt: skip
    assert found[0].labels_of(0) == {"kaito.sh/workspace": "workspace-phi-4-mini"}


def test_the_picker_has_the_configuration_that_its_manifests_mount() -> None:
    text = (ROOT / "tests/data/manifests/istio/as-written.yaml").read_text()

    found = configurations(workloads_in(text), manifests_in(text))

    assert [*found] == ["Deployment inference-model-server/inference-endpoint-picker"]
    assert "kind: EndpointPickerConfig" in next(iter(found.values()))


def test_what_is_written_wrong_is_a_problem_with_its_place() -> None:
    _, problems = workloads_of(documents_in(DEPLOYMENT.replace("replicas: 2", "replicas: two")))

    assert [str(problem) for problem in problems] == [
        "a.yaml:4: spec.replicas: expected a whole number, got 'two' (Deployment n/d)"
    ]


def test_a_pod_that_has_an_address_runs_elsewhere() -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}\nstatus: {podIP: 10.0.0.1}\n"

    assert workloads_in(text) == ()
    assert [str(each) for each in workloads_in(text.replace("podIP: 10.0.0.1", "phase: Pending"))] == ["Pod default/p"]
    assert Manifests() == manifests_in("")
