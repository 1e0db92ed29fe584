"""Documents become objects: a table of kinds and their readers, each in the words of its API. Pure.

Readers check what the API server would check (types, required fields, ranges, the CEL rules). Whether references lead
anywhere is the control plane's business: Kubernetes accepts such objects, too, and reports it in their status.
"""

from collections.abc import Callable, Mapping
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
    Meta,
    Namespace,
    Parsed,
)
from gateway.kube.reading import ai_gateway, policies, workloads
from gateway.kube.reading.backend_tls import backend_tls_policy
from gateway.kube.reading.config_maps import config_map
from gateway.kube.reading.costs import gateway_config
from gateway.kube.reading.destination_rules import destination_rule
from gateway.kube.reading.documents import Document, check_name
from gateway.kube.reading.gateways import gateway, gateway_class
from gateway.kube.reading.grants import reference_grant
from gateway.kube.reading.ignored import IGNORED_KINDS, NOTED_KINDS
from gateway.kube.reading.objectives import legacy_model, model_rewrite, objective
from gateway.kube.reading.pods import pod
from gateway.kube.reading.pools import pool_v1, pool_v1alpha2
from gateway.kube.reading.quota_policies import KIND, quota_policy
from gateway.kube.reading.routes import http_route
from gateway.kube.reading.secrets import secret
from gateway.kube.reading.security_policies import security_policy
from gateway.kube.reading.services import service
from gateway.kube.reading.slices import endpoint_slice
from gateway.kube.reading.workspaces import inference_set, workspace
from gateway.schema.fields import Fields

READERS: Final[Mapping[tuple[str, str], Callable[[Meta, Fields], Parsed | None]]] = MappingProxyType({
    ("", "ConfigMap"): config_map,
    ("", "Namespace"): lambda meta, _top: Namespace(meta),
    ("", "Pod"): pod,
    ("", "Secret"): secret,
    ("", "Service"): service,
    (DISCOVERY_GROUP, "EndpointSlice"): endpoint_slice,
    (GATEWAY_GROUP, "Gateway"): gateway,
    (GATEWAY_GROUP, "GatewayClass"): gateway_class,
    (GATEWAY_GROUP, "HTTPRoute"): http_route,
    (GATEWAY_GROUP, "ReferenceGrant"): reference_grant,
    (INFERENCE_GROUP, "InferencePool"): pool_v1,
    (INFERENCE_X_GROUP, "InferencePool"): pool_v1alpha2,
    (INFERENCE_X_GROUP, "InferenceObjective"): objective,
    (INFERENCE_X_GROUP, "InferenceModelRewrite"): model_rewrite,
    (INFERENCE_X_GROUP, "InferenceModel"): legacy_model,
    (LLM_D_GROUP, "InferenceObjective"): objective,
    (LLM_D_GROUP, "InferenceModelRewrite"): model_rewrite,
    (ISTIO_GROUP, "DestinationRule"): destination_rule,
    (KAITO_GROUP, "InferenceSet"): inference_set,
    (KAITO_GROUP, "Workspace"): workspace,
    (AI_GATEWAY_GROUP, "AIGatewayRoute"): ai_gateway.ai_route,
    (AI_GATEWAY_GROUP, "AIServiceBackend"): ai_gateway.ai_backend,
    (AI_GATEWAY_GROUP, "BackendSecurityPolicy"): security_policy,
    (AI_GATEWAY_GROUP, "GatewayConfig"): gateway_config,
    (AI_GATEWAY_GROUP, KIND): quota_policy,
    (ENVOY_GATEWAY_GROUP, "Backend"): ai_gateway.backend,
    (GATEWAY_GROUP, "BackendTLSPolicy"): backend_tls_policy,
    **policies.READERS,
    **workloads.READERS,
})  # fmt: skip


def read(document: Document) -> Parsed | None:
    """The object of a document; None for a kind without effect here, and for one without a name."""
    reader = READERS.get((document.group, document.kind))
    if reader is None:
        if document.kind in NOTED_KINDS:
            document.value.member("kind").note(f"{document.kind} is without effect here")
        elif document.kind not in IGNORED_KINDS:
            document.value.member("kind").note(f"unknown kind {document.kind} of {document.api_version}")
        return None
    return reader(document.meta, Fields(document.value)) if check_name(document) else None
