"""Kinds that a cluster's folder holds beside those that are read. They are accepted without effect. Pure."""

from typing import Final

# Those that change elsewhere how requests are served, or that bring further objects: whoever wrote them should know.
NOTED_KINDS: Final = frozenset(
    [
        "EnvoyFilter",
        "EnvoyGateway",
        "EnvoyProxy",
        "GRPCRoute",
        "GitRepository",
        "HealthCheckPolicy",
        "HelmChart",
        "HelmRelease",
        "HelmRepository",
        "InferencePoolImport",
        "Ingress",
        "Kustomization",
        "MCPRoute",
        "OCIRepository",
        "TCPRoute",
        "TLSRoute",
        "Telemetry",
        "UDPRoute",
    ]
)

IGNORED_KINDS: Final = frozenset(
    [
        "Binding",
        "ClusterRole",
        "ClusterRoleBinding",
        "CronJob",
        "CustomResourceDefinition",
        "DaemonSet",
        "EndpointPickerConfig",
        "Endpoints",
        "Event",
        "HorizontalPodAutoscaler",
        "Job",
        "Lease",
        "LimitRange",
        "MutatingWebhookConfiguration",
        "NetworkPolicy",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "PodMonitor",
        "PodMonitoring",
        "PriorityClass",
        "PrometheusRule",
        "ReplicaSet",
        "ResourceQuota",
        "Role",
        "RoleBinding",
        "ServiceAccount",
        "ServiceMonitor",
        "StorageClass",
        "ValidatingWebhookConfiguration",
    ]
)
