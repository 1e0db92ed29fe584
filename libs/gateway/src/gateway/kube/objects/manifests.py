"""`Manifests`: one immutable snapshot of every object that is acted on. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.kube.objects.ai_gateway import (
    AIGatewayRoute,
    AIServiceBackend,
    Backend,
    BackendSecurityPolicy,
    GatewayConfig,
)
from gateway.kube.objects.backend_tls import BackendTLSPolicy
from gateway.kube.objects.core import ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service
from gateway.kube.objects.gateway_api import Gateway, GatewayClass, HTTPRoute, ReferenceGrant
from gateway.kube.objects.inference import InferenceModel, InferenceModelRewrite, InferenceObjective, InferencePool
from gateway.kube.objects.istio import DestinationRule
from gateway.kube.objects.kaito import InferenceSet, Workspace
from gateway.kube.objects.labelled import Labelled
from gateway.kube.objects.meta import ObjectKey, ObjectName
from gateway.kube.objects.policies import AccessPolicy
from gateway.kube.objects.workloads import Workload

Parsed = (
    Namespace
    | GatewayClass
    | Gateway
    | HTTPRoute
    | ReferenceGrant
    | InferencePool
    | InferenceObjective
    | InferenceModelRewrite
    | InferenceModel
    | EndpointSlice
    | Pod
    | Service
    | ConfigMap
    | Secret
    | DestinationRule
    | AccessPolicy
    | Workspace
    | InferenceSet
    | AIGatewayRoute
    | AIServiceBackend
    | Backend
    | BackendSecurityPolicy
    | GatewayConfig
    | BackendTLSPolicy
    | Workload
)


@dataclass(frozen=True, slots=True)
class Manifests:
    """Every object of one load, by kind and `(namespace, name)`. Replaced whole, never changed."""

    namespaces: Mapping[ObjectName, Namespace] = field(default_factory=dict)
    gateway_classes: Mapping[ObjectName, GatewayClass] = field(default_factory=dict)
    gateways: Mapping[ObjectName, Gateway] = field(default_factory=dict)
    routes: Mapping[ObjectName, HTTPRoute] = field(default_factory=dict)
    grants: Mapping[ObjectName, ReferenceGrant] = field(default_factory=dict)
    pools: Mapping[ObjectName, InferencePool] = field(default_factory=dict)
    objectives: Mapping[ObjectName, InferenceObjective] = field(default_factory=dict)
    rewrites: Mapping[ObjectName, InferenceModelRewrite] = field(default_factory=dict)
    models: Mapping[ObjectName, InferenceModel] = field(default_factory=dict)
    slices: Mapping[ObjectName, EndpointSlice] = field(default_factory=dict)
    pods: Mapping[ObjectName, Pod] = field(default_factory=dict)
    services: Mapping[ObjectName, Service] = field(default_factory=dict)
    config_maps: Mapping[ObjectName, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[ObjectName, Secret] = field(default_factory=dict)
    destination_rules: Mapping[ObjectName, DestinationRule] = field(default_factory=dict)
    policies: Mapping[ObjectName, AccessPolicy] = field(default_factory=dict)  # by a name that holds the kind
    workspaces: Mapping[ObjectName, Workspace] = field(default_factory=dict)
    inference_sets: Mapping[ObjectName, InferenceSet] = field(default_factory=dict)
    ai_routes: Mapping[ObjectName, AIGatewayRoute] = field(default_factory=dict)
    ai_backends: Mapping[ObjectName, AIServiceBackend] = field(default_factory=dict)
    backends: Mapping[ObjectName, Backend] = field(default_factory=dict)
    security_policies: Mapping[ObjectName, BackendSecurityPolicy] = field(default_factory=dict)
    gateway_configs: Mapping[ObjectName, GatewayConfig] = field(default_factory=dict)
    tls_policies: Mapping[ObjectName, BackendTLSPolicy] = field(default_factory=dict)
    workloads: Mapping[ObjectName, Workload] = field(default_factory=dict)  # by a name that holds the kind
    slice_index: Labelled[EndpointSlice] = field(init=False, repr=False, compare=False)
    pod_index: Labelled[Pod] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slice_index", Labelled(self.slices.values()))
        object.__setattr__(self, "pod_index", Labelled(self.pods.values()))

    def only(self, *kinds: str) -> "Manifests":
        """The objects of these kinds alone, named as the fields are: what a function gets that may read no other."""
        return Manifests(**{kind: getattr(self, kind) for kind in kinds})

    def without(self, *kinds: str) -> "Manifests":
        """All objects but those of these kinds."""
        return self.only(*(kind for kind in _FIELDS.values() if kind not in kinds))

    def by_kind(self) -> Iterator[Mapping[ObjectName, "Parsed"]]:
        """The objects of each kind, in a fixed order of kinds."""
        return (getattr(self, name) for name in _FIELDS.values())


_FIELDS: Final[Mapping[type, str]] = MappingProxyType({
    Namespace: "namespaces",
    GatewayClass: "gateway_classes",
    Gateway: "gateways",
    HTTPRoute: "routes",
    ReferenceGrant: "grants",
    InferencePool: "pools",
    InferenceObjective: "objectives",
    InferenceModelRewrite: "rewrites",
    InferenceModel: "models",
    EndpointSlice: "slices",
    Pod: "pods",
    Service: "services",
    ConfigMap: "config_maps",
    Secret: "secrets",
    DestinationRule: "destination_rules",
    AccessPolicy: "policies",
    Workspace: "workspaces",
    InferenceSet: "inference_sets",
    AIGatewayRoute: "ai_routes",
    AIServiceBackend: "ai_backends",
    Backend: "backends",
    BackendSecurityPolicy: "security_policies",
    GatewayConfig: "gateway_configs",
    BackendTLSPolicy: "tls_policies",
    Workload: "workloads",
})  # fmt: skip


def key_of(found: Parsed) -> ObjectKey:
    """An object's key; its class is named as its kind, but for policies and workloads."""
    kind = found.kind if isinstance(found, AccessPolicy | Workload) else type(found).__name__
    return ObjectKey(kind, found.meta.id)


def manifests_of(objects: Iterable[Parsed]) -> Manifests:
    """A snapshot of these objects; a later one of a kind and name replaces an earlier one."""
    found: dict[str, dict[ObjectName, Parsed]] = {name: {} for name in _FIELDS.values()}
    for each in objects:
        name = each.own_name if isinstance(each, AccessPolicy | Workload) else each.meta.id
        found[_FIELDS[type(each)]][name] = each
    frozen = {name: MappingProxyType(by_name) for name, by_name in found.items()}
    return Manifests(**frozen)  # type: ignore[arg-type]  # keyed by type above
