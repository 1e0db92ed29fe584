"""The resources of an API server that are read, and which of their objects. Pure values.

Versions are tried in order; the readers take every one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.kube.objects import (
    AI_GATEWAY_GROUP,
    DISCOVERY_GROUP,
    ENVOY_GATEWAY_GROUP,
    GATEWAY_GROUP,
    INFERENCE_GROUP,
    INFERENCE_X_GROUP,
    ISTIO_GROUP,
    KAITO_GROUP,
    LLM_D_GROUP,
    InferencePool,
)
from gateway.kube.reading import policies


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of one API group, with the versions that it may have."""

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    is_namespaced: bool = True

    def api_version(self, version: str) -> str:
        """As an object has it: `v1`, `apps/v1`."""
        return f"{self.group}/{version}" if self.group else version

    def folder(self, namespace: str) -> str:
        """Where objects of a namespace are that are written here, in the first version."""
        return Selection(self, namespace).path(self.versions[0])

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class Selection:
    """A resource, and which of its objects: of one namespace or of all (empty), one name, or those with labels."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def path(self, version: str) -> str:
        """Where they are listed and watched."""
        found = self.resource
        root = f"/apis/{found.group}/{version}" if found.group else f"/api/{version}"
        return f"{root}/namespaces/{self.namespace}/{found.plural}" if self.namespace else f"{root}/{found.plural}"

    @property
    def query(self) -> Mapping[str, str]:
        """The selectors as the API takes them."""
        query = {}
        if self.name:
            query["fieldSelector"] = f"metadata.name={self.name}"
        if self.labels:
            query["labelSelector"] = ",".join(f"{key}={value}" for key, value in self.labels)
        return query


def _plural(kind: str) -> str:
    name = kind.lower()
    return f"{name.removesuffix('y')}ies" if name.endswith("cy") else f"{name}s"


_V1: Final = ("v1",)

POD: Final = Resource("", _V1, "Pod", "pods")
CONFIG_MAP: Final = Resource("", _V1, "ConfigMap", "configmaps")
SECRET: Final = Resource("", _V1, "Secret", "secrets")
SERVICE: Final = Resource("", _V1, "Service", "services")
NAMESPACE: Final = Resource("", _V1, "Namespace", "namespaces", is_namespaced=False)
ENDPOINT_SLICE: Final = Resource(DISCOVERY_GROUP, _V1, "EndpointSlice", "endpointslices")
GATEWAY_CLASS: Final = Resource(GATEWAY_GROUP, ("v1", "v1beta1"), "GatewayClass", "gatewayclasses", is_namespaced=False)
GATEWAY: Final = Resource(GATEWAY_GROUP, ("v1", "v1beta1"), "Gateway", "gateways")
HTTP_ROUTE: Final = Resource(GATEWAY_GROUP, ("v1", "v1beta1"), "HTTPRoute", "httproutes")
REFERENCE_GRANT: Final = Resource(GATEWAY_GROUP, ("v1", "v1beta1"), "ReferenceGrant", "referencegrants")
BACKEND_TLS_POLICY: Final = Resource(GATEWAY_GROUP, ("v1", "v1alpha3"), "BackendTLSPolicy", "backendtlspolicies")
POOL: Final = Resource(INFERENCE_GROUP, _V1, "InferencePool", "inferencepools")
POOL_X: Final = Resource(INFERENCE_X_GROUP, ("v1alpha2", "v1alpha1"), "InferencePool", "inferencepools")
OBJECTIVE_X: Final = Resource(INFERENCE_X_GROUP, ("v1alpha2",), "InferenceObjective", "inferenceobjectives")
OBJECTIVE: Final = Resource(LLM_D_GROUP, ("v1alpha2", "v1alpha1"), "InferenceObjective", "inferenceobjectives")
REWRITE_X: Final = Resource(INFERENCE_X_GROUP, ("v1alpha2",), "InferenceModelRewrite", "inferencemodelrewrites")
REWRITE: Final = Resource(LLM_D_GROUP, ("v1alpha2", "v1alpha1"), "InferenceModelRewrite", "inferencemodelrewrites")
MODEL_X: Final = Resource(INFERENCE_X_GROUP, ("v1alpha2", "v1alpha1"), "InferenceModel", "inferencemodels")
DESTINATION_RULE: Final = Resource(ISTIO_GROUP, ("v1", "v1beta1", "v1alpha3"), "DestinationRule", "destinationrules")
WORKSPACE: Final = Resource(KAITO_GROUP, ("v1beta1", "v1alpha1"), "Workspace", "workspaces")
INFERENCE_SET: Final = Resource(KAITO_GROUP, ("v1beta1", "v1alpha1"), "InferenceSet", "inferencesets")
AI_GATEWAY: Final = tuple(
    Resource(AI_GATEWAY_GROUP, ("v1beta1", "v1alpha1"), kind, _plural(kind))
    for kind in ("AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy", "GatewayConfig")
)
QUOTA_POLICY: Final = Resource(AI_GATEWAY_GROUP, ("v1beta1", "v1alpha1"), "QuotaPolicy", "quotapolicies")
BACKEND: Final = Resource(ENVOY_GATEWAY_GROUP, ("v1alpha1",), "Backend", "backends")
_POLICY_VERSIONS: Final = ("v1", "v1beta1", "v1alpha1")
POLICIES: Final = tuple(
    Resource(group, _POLICY_VERSIONS, kind, _plural(kind)) for group, kind in sorted(policies.READERS)
)  # those that restrict access: without them a Gateway would be open that something else should close

SERVICE_ACCOUNT: Final = Resource("", _V1, "ServiceAccount", "serviceaccounts")
DEPLOYMENT: Final = Resource("apps", _V1, "Deployment", "deployments")
DISRUPTION_BUDGET: Final = Resource("policy", _V1, "PodDisruptionBudget", "poddisruptionbudgets")
LEASE: Final = Resource("coordination.k8s.io", _V1, "Lease", "leases")
EVENT: Final = Resource("", _V1, "Event", "events")
MANAGED_BY: Final = ("app.kubernetes.io/managed-by", "pointsman")  # the label of all that is deployed, and followed by
DEPLOYED: Final = (SERVICE_ACCOUNT, SECRET, CONFIG_MAP, SERVICE, DEPLOYMENT, DISRUPTION_BUDGET)

BY_KIND: Final[Mapping[tuple[str, str], Resource]] = MappingProxyType({
    (found.group, found.kind): found
    for found in (
        POD, CONFIG_MAP, SECRET, SERVICE, NAMESPACE, ENDPOINT_SLICE, GATEWAY_CLASS, GATEWAY, HTTP_ROUTE,
        REFERENCE_GRANT, BACKEND_TLS_POLICY, POOL, POOL_X, OBJECTIVE_X, OBJECTIVE, REWRITE_X, REWRITE, MODEL_X,
        DESTINATION_RULE, WORKSPACE, INFERENCE_SET, *AI_GATEWAY, QUOTA_POLICY, BACKEND, *POLICIES,
    )
})  # fmt: skip


def pods_of(pools: Iterable[InferencePool]) -> tuple[Selection, ...]:
    """The Pods that pools may have: those with the labels of the only pool of a namespace, else all of it."""
    by_namespace: dict[str, list[InferencePool]] = {}
    for pool in pools:
        by_namespace.setdefault(pool.meta.id.namespace, []).append(pool)
    return tuple(
        Selection(POD, namespace, labels=tuple(sorted(found[0].selector.match_labels.items())) * (len(found) == 1))
        for namespace, found in sorted(by_namespace.items())
    )
