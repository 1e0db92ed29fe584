"""The objects of the Inference Extension's task in Istio's documentation, as far as the picker needs them.

The model servers' image is the cluster's own pause program: its Pods are Ready, and that is all that is looked at.
"""

from typing import Any

PAUSE = "localhost/pause:1"
POOL = "inference-model-server-pool"

PLUGINS = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""


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
    verbs = ["get", "list", "watch"]
    rules = [
        ("inference.networking.x-k8s.io", ["inferenceobjectives", "inferencepools"]),
        ("inference.networking.k8s.io", ["inferencepools"]),
        ("", ["pods"]),
    ]
    group = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "Role",
        "metadata": {"name": "inference-model-reader"},
        "rules": [{"apiGroups": [name], "resources": resources, "verbs": verbs} for name, resources in rules],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "epp-to-inference-model-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        "roleRef": {"kind": "Role", "name": "inference-model-reader", "apiGroup": group},
    }
    return role, binding


def objective(priority: int) -> dict[str, Any]:
    return {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
        "kind": "InferenceObjective",
        "metadata": {"name": "urgent"},
        "spec": {"poolRef": {"name": POOL}, "priority": priority},
    }
