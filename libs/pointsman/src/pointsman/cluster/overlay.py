"""What is laid over a folder of manifests: what a cluster would add, and what stands in for its servers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.kube.objects import SERVICE_NAME_LABEL, Manifests, ObjectName
from gateway.kube.reading.documents import Document
from gateway.kube.resolution.endpoints import service_slices
from gateway.wire import protocol
from pointsman.cluster.servers import Server

Tree = Mapping[str, Any]

DEFAULT_PICKER: Final = ObjectName("default", "epp")  # as the plan names it to the control plane
_BACKEND_GROUP: Final = "gateway.envoyproxy.io"


def documents_of(servers: Sequence[Server]) -> Iterator[Tree]:
    """The Pods that servers stand for, as a cluster would show them."""
    for server in servers:
        ports = [{"name": port.name, "containerPort": port.port} for port in server.container_ports]
        yield {
            **_head("v1", "Pod", server.pod, server.labels),
            "spec": {"containers": [{"name": "simulated", "ports": ports}]},
            "status": {"podIP": server.address, "conditions": [{"type": "Ready", "status": "True"}]},
        }


def pickers(manifests: Manifests, host: str, port: int) -> Iterator[Tree]:
    """Where the endpoint picker is, for each Service that a pool names and that no slice is for."""
    wanted = {
        ObjectName(name.namespace, pool.picker.name)
        for name, pool in manifests.pools.items()
        if pool.picker is not None and pool.picker.kind == "Service"
    }
    for name in sorted(wanted | {DEFAULT_PICKER}):
        if not service_slices(manifests, *name):
            labels = {SERVICE_NAME_LABEL: name.name}
            yield {
                **_head("discovery.k8s.io/v1", "EndpointSlice", ObjectName(name.namespace, f"{name.name}-up"), labels),
                "addressType": "IPv4",
                "endpoints": [{"addresses": [host]}],
                "ports": [{"port": port}],
            }


def backends(stand_ins: Mapping[ObjectName, Server], documents: Sequence[Document]) -> Iterator[Tree]:
    """AIServiceBackends that lead to simulators, by Backends that no policy is about."""
    written = {document.meta.id: document for document in documents if document.kind == "AIServiceBackend"}
    for name, server in stand_ins.items():
        document = written[name]
        assert isinstance(document.value.data, Mapping)
        own = ObjectName(name.namespace, f"{name.name}-simulated")
        labels = {**document.meta.labels, protocol.SIMULATED_LABEL: "true"}
        reference = {"group": _BACKEND_GROUP, "kind": "Backend", "name": own.name}
        tree: Mapping[str, Any] = document.value.data
        metadata = {**tree["metadata"], "labels": labels}
        yield {**tree, "metadata": metadata, "spec": {**tree["spec"], "backendRef": reference}}
        endpoints = [{"ip": {"address": server.address, "port": server.ports[0]}}]
        yield {**_head(f"{_BACKEND_GROUP}/v1alpha1", "Backend", own, {}), "spec": {"endpoints": endpoints}}


def _head(version: str, kind: str, name: ObjectName, labels: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name.name, "namespace": name.namespace, "labels": dict(labels)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
