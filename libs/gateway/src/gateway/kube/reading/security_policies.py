"""Envoy AI Gateway's BackendSecurityPolicy is read. Pure. A type that is not supported is read, too: what it targets is
refused by its name."""

from typing import Final

from gateway.kube.objects import (
    AI_GATEWAY_GROUP,
    INFERENCE_GROUP,
    INFERENCE_X_GROUP,
    BackendSecurityPolicy,
    CredentialOverride,
    Meta,
    ObjectName,
)
from gateway.kube.reading.backend_tls import target_of
from gateway.kube.reading.filters import check_header
from gateway.kube.reading.parts import spec_of
from gateway.schema.fields import Fields

# Each type with its field, and for those that hold a key the header in which a request brings one of its own.
_FIELDS: Final = {
    "APIKey": "apiKey",
    "AzureAPIKey": "azureAPIKey",
    "AnthropicAPIKey": "anthropicAPIKey",
    "AWSCredentials": "awsCredentials",
    "AzureCredentials": "azureCredentials",
    "GCPCredentials": "gcpCredentials",
}
_GIVEN: Final = {
    "APIKey": "x-aigw-api-key",
    "AzureAPIKey": "x-aigw-azure-api-key",
    "AnthropicAPIKey": "x-aigw-anthropic-api-key",
}
_TARGETS: Final = (
    (AI_GATEWAY_GROUP, "AIServiceBackend"),
    (INFERENCE_GROUP, "InferencePool"),
    (INFERENCE_X_GROUP, "InferencePool"),
)


def security_policy(meta: Meta, top: Fields) -> BackendSecurityPolicy:
    spec = spec_of(top)
    kind = spec.choice("type", tuple(_FIELDS), "APIKey")
    for other, field in _FIELDS.items():
        if other != kind and spec.has(field):
            spec.problem(field, f"only for type {other}; this is {kind}")
    key = spec.child(_FIELDS[kind], required=kind in _GIVEN)
    ref = key.child("secretRef", required=True) if key and kind in _GIVEN else None
    override = spec.child("credentialOverride")
    if override and override.has("fromRequestHeaders") == override.has("fromDynamicMetadata"):
        spec.problem("credentialOverride", "exactly one of fromRequestHeaders and fromDynamicMetadata is required")
    targets = spec.children("targetRefs", 16)
    for target in targets:
        if (target.raw("group"), target.raw("kind")) not in _TARGETS:
            target.problem("kind", "expected AIServiceBackend or InferencePool, with its group")
    spec.done()
    return BackendSecurityPolicy(
        meta=meta,
        type=kind,
        secret=_secret(meta, ref) if ref else None,
        targets=tuple(target_of(target) for target in targets),
        override=_override(kind, override) if override else None,
    )


def _secret(meta: Meta, ref: Fields) -> ObjectName:
    return ObjectName(ref.name("namespace", meta.id.namespace), ref.name("name", required=True))


def _override(kind: str, item: Fields) -> CredentialOverride | None:
    header, metadata = item.child("fromRequestHeaders"), item.child("fromDynamicMetadata")
    item.done()
    usual = _GIVEN.get(kind, "")
    if header is not None:
        name = header.text("header") or usual
        if name:
            check_header(header, "header", name)
        found = CredentialOverride(header=name.lower(), falls_back=header.boolean("fallbackToConfigured", default=True))
        header.done()
        return found
    if metadata is not None:
        found = CredentialOverride(
            namespace=metadata.text("namespace", required=True),
            key=metadata.text("key") or usual,
            falls_back=metadata.boolean("fallbackToConfigured", default=True),
        )
        metadata.done()
        return found
    return None
