"""Pods are read as far as they tell whether and what they serve."""

from gateway.kube.objects import (
    InferencePool,
    Pod,
)
from gateway.kube.reading.documents import cluster_document
from gateway.kube.reading.table import read
from tests.unit.kube.documents import head, read_one

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: p
  uid: 7d3f
  generation: 3
  resourceVersion: "1234"
  labels: {app: a}
  annotations: {note: b}
  creationTimestamp: 2026-01-01T00:00:00Z
  deletionTimestamp: 2026-01-01T01:00:00Z
spec:
  nodeName: n
  containers:
  - {name: side}
  - {name: vllm, image: x, ports: [{containerPort: 8000, name: http}, {containerPort: 9090, protocol: UDP}]}
status:
  phase: Running
  conditions: [{type: Ready, status: "True"}, {type: Initialized, status: "False"}]
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
"""


def test_a_pod_is_read_with_its_metadata() -> None:
    found, problems, notes = read_one(POD)

    assert (problems, notes) == ([], [])
    assert isinstance(found, Pod)
    assert (found.addresses, found.ready, found.serves) == (("10.0.0.1", "fd00::1"), True, False)
    assert [(port.name, port.port, port.protocol) for port in found.ports] == [("http", 8000, "TCP"), ("", 9090, "UDP")]
    meta = found.meta
    assert (meta.api_version, meta.uid, meta.generation, meta.resource_version) == ("v1", "7d3f", 3, "1234")
    assert (dict(meta.labels), dict(meta.annotations)) == ({"app": "a"}, {"note": "b"})
    assert (meta.created, meta.deleted) == ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")


def test_a_pod_without_address_or_status_is_a_pod_that_does_not_serve() -> None:
    found, problems, _ = read_one(head("Pod", "v1") + "spec: {containers: [{name: a}]}\n")
    wrong, others, _ = read_one(head("Pod", "v1") + "status: {podIP: nowhere, conditions: 3}\n")

    assert problems == []
    assert isinstance(found, Pod)
    assert (found.addresses, found.serves) == ((), False)
    assert isinstance(wrong, Pod)
    assert others == [
        "f.yaml:4: status.podIP: expected an IP address, got 'nowhere' (Pod default/x)",
        "f.yaml:4: status.conditions: expected a list, got 3 (Pod default/x)",
    ]


def test_an_object_of_a_cluster_is_the_place_of_its_problems() -> None:
    document = cluster_document({
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": 1}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": []},
    })  # fmt: skip
    assert document is not None

    assert isinstance(read(document), InferencePool)

    assert [str(problem) for problem in document.value.findings.problems] == [
        "InferencePool n/p: metadata.labels.a: expected a string, got 1",
        "InferencePool n/p: spec.targetPorts: expected 1 to 8 items, got 0",
    ]
