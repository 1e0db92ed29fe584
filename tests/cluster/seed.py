"""The objects of the Inference Extension's task in Istio's documentation, as far as the picker needs them.

The model servers' image is the cluster's own pause program: its Pods are Ready, and that is all that is looked at.
"""

from typing import Any

PAUSE = "localhost/pause:1"
POOL = "inference-model-server-pool"


def pool(app: str = "inference-model-server") -> dict[str, Any]:
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": POOL},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "targetPorts": [{"number": 3000}],
            "endpointPickerRef": {"name": "endpoint-picker-svc", "port": {"number": 9002}},
        },
    }


def service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "endpoint-picker-svc"},
        "spec": {"selector": {"app": "inference-epp"}, "ports": [{"port": 9002, "appProtocol": "http2"}]},
    }


def deployment(app: str = "inference-model-server", replicas: int = 3) -> dict[str, Any]:
    container = {"name": "server", "image": PAUSE, "imagePullPolicy": "Never", "ports": [{"containerPort": 3000}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def pod(name: str) -> dict[str, Any]:
    """One that no node runs, so that only a test changes its status."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "inference-model-server"}},
        "spec": {"schedulerName": "none", "containers": [{"name": "server", "image": PAUSE}]},
    }


def rights(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the document's Role grants, and nothing else."""
    return granted(
        namespace,
        "inference-model-reader",
        ("inference.networking.x-k8s.io", ["inferenceobjectives", "inferencepools"]),
        ("inference.networking.k8s.io", ["inferencepools"]),
        ("", ["pods"]),
    )


def granted(namespace: str, name: str, *resources: tuple[str, list[str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Role that lets resources of API groups be read, and its binding to the namespace's default account."""
    group, verbs = "rbac.authorization.k8s.io", ["get", "list", "watch"]
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [of], "resources": found, "verbs": verbs} for of, found in resources],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        "roleRef": {"kind": "Role", "name": name, "apiGroup": group},
    }
    return role, binding


def objective(priority: int) -> dict[str, Any]:
    return {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
        "kind": "InferenceObjective",
        "metadata": {"name": "urgent"},
        "spec": {"poolRef": {"name": POOL}, "priority": priority},
    }
