"""The objects of a cluster that a Gateway is to have: those of its Envoys, as they are applied. Pure.

All have one name, belong to the Gateway, and go with it. Pods are of the restricted standard.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from controlplane.deployment.bootstrap import ADMIN_PORT, CERTIFICATES, FILES, files
from controlplane.deployment.parameters import Parameters
from controlplane.deployment.placement import SERVED, bound_ports, deployed_name, fitting
from controlplane.options import Deployment
from gateway.kube.objects import GATEWAY_GROUP, Gateway
from gateway.kube.sources.cluster.resources import MANAGED_BY
from gateway.rpc.tls import KeyPair

Tree = dict[str, Any]

GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
CLASS_LABEL: Final = "gateway.networking.k8s.io/gateway-class-name"
GRACE_SECONDS: Final = 15  # for Envoy to end after its answers
# Envoy warns of each call to a router or a picker that is gone. That it is gone, its statistics say.
QUIET: Final = ("--component-log-level", "ext_proc:error")
USER: Final = 65532
DIGEST: Final = 16  # hexadecimal digits

READY: Final = f"""exec 3<>/dev/tcp/127.0.0.1/{ADMIN_PORT}
printf 'GET /ready HTTP/1.1\\r\\nhost: admin\\r\\nconnection: close\\r\\n\\r\\n' >&3
grep -q LIVE <&3"""  # the administration is for the Pod alone, and Envoy's image has neither curl nor Python


def objects(
    gateway: Gateway, wanted: Parameters, deployment: Deployment, authority: bytes, shown: KeyPair
) -> tuple[Tree, ...]:
    """What a Gateway is to have, in the order in which it is applied; nothing without a listener that can be served.

    Its Envoys trust the `authority` (PEM) at the control plane, and show the certificate `shown`."""
    ports = bound_ports(gateway)
    if not ports:
        return ()
    texts = files(deployment)
    certificates = {"ca.crt": authority, "tls.crt": shown.certificate, "tls.key": shown.key}
    head = _Heads(gateway)
    return (
        {**head.of("v1", "ServiceAccount"), "automountServiceAccountToken": False},
        {
            **head.of("v1", "Secret"),
            "type": "Opaque",
            "data": {name: b64encode(text).decode() for name, text in certificates.items()},
        },
        {**head.of("v1", "ConfigMap"), "data": dict(texts)},
        {**head.of("v1", "Service"), "spec": _service(gateway, wanted, head.selector, ports)},
        {**head.of("apps/v1", "Deployment"), "spec": _deployment(head, wanted, deployment, texts)},
        {
            **head.of("policy/v1", "PodDisruptionBudget"),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": head.selector}},
        },
    )


class _Heads:
    """What stands above the `spec` of every object of a Gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.name = deployed_name(gateway)
        self.selector = {GATEWAY_LABEL: fitting(gateway.meta.id.name)}
        self.annotations = dict(gateway.infrastructure.annotations)
        self.labels = {
            **gateway.infrastructure.labels,
            **self.selector,
            CLASS_LABEL: fitting(gateway.class_name),
            **dict([MANAGED_BY]),
        }

    def of(self, api_version: str, kind: str) -> Tree:
        owner = {
            "apiVersion": self.gateway.meta.api_version or f"{GATEWAY_GROUP}/v1",
            "kind": "Gateway",
            "name": self.gateway.meta.id.name,
            "uid": self.gateway.meta.uid,
            "controller": True,
        }
        metadata: Tree = {
            "name": self.name.name,
            "namespace": self.name.namespace,
            "labels": self.labels,
            "ownerReferences": [owner],
        }
        if self.annotations:
            metadata["annotations"] = self.annotations
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _service(gateway: Gateway, wanted: Parameters, selector: Mapping[str, str], ports: Mapping[int, int]) -> Tree:
    protocols = {each.port: each.protocol for each in gateway.listeners if each.protocol in SERVED}
    return {
        "type": wanted.service_type,
        "selector": dict(selector),
        "ports": [
            {"name": f"{protocols[port].lower()}-{port}", "protocol": "TCP", "port": port, "targetPort": bound}
            for port, bound in sorted(ports.items())
        ],
    }


def _deployment(head: _Heads, wanted: Parameters, deployment: Deployment, texts: Mapping[str, str]) -> Tree:
    replicas = {} if wanted.replicas is None else {"replicas": wanted.replicas}
    digest = hashlib.sha256(orjson.dumps(dict(texts), option=orjson.OPT_SORT_KEYS)).hexdigest()[:DIGEST]
    annotations = {**head.annotations, "pointsman.dev/bootstrap": digest}
    return {
        **replicas,
        "selector": {"matchLabels": head.selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": head.labels, "annotations": annotations},
            "spec": _pod(head, deployment),
        },
    }


def _pod(head: _Heads, deployment: Deployment) -> Tree:
    return {
        "serviceAccountName": head.name.name,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": deployment.drain_seconds + GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_envoy(head, deployment)],
        "volumes": [
            {"name": "files", "configMap": {"name": head.name.name}},
            {"name": "xds", "secret": {"secretName": head.name.name}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
        "topologySpreadConstraints": list(_spread(head.selector)),
    }


def _envoy(head: _Heads, deployment: Deployment) -> Tree:
    drain = str(deployment.drain_seconds)
    return {
        "name": "envoy",
        "image": deployment.image,
        "imagePullPolicy": deployment.pull_policy,
        "command": ["bash", f"{FILES}/run", str(ADMIN_PORT), drain],
        "args": [
            "envoy", "--config-path", f"{FILES}/bootstrap.json",
            "--service-node", "$(POD_NAME)", "--service-cluster", str(head.gateway.meta.id),
            "--disable-hot-restart", "--drain-time-s", drain, "--log-level", deployment.log_level, *QUIET,
        ],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        "readinessProbe": {"exec": {"command": ["bash", "-c", READY]}, "periodSeconds": 3, "timeoutSeconds": 3},
        # It sheds load as its heap nears 800 MiB.
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "files", "mountPath": FILES, "readOnly": True},
            {"name": "xds", "mountPath": CERTIFICATES, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the Pod
        ],
    }  # fmt: skip


def _spread(selector: Mapping[str, str]) -> Iterator[Tree]:
    for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone"):
        yield {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(selector)},
        }
