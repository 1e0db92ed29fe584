"""AIGatewayRoute, AIServiceBackend and Backend are read (Envoy AI Gateway v1alpha1 and v1beta1, Envoy Gateway). Pure.

What changes a request and is not served here (`modelNameOverride`, mutations) stands as a filter that is not served, so
that no request passes without it.
"""

from typing import Final

from gateway.kube.objects import (
    INFERENCE_GROUP,
    AIGatewayRoute,
    AIServiceBackend,
    Backend,
    BackendEndpoint,
    BackendRef,
    HTTPRoute,
    Meta,
    ObjectName,
    RouteMatch,
    RouteRule,
    Timeouts,
    UnservedFilter,
)
from gateway.kube.reading.parts import MAX_PORT, MAX_WEIGHT, spec_of
from gateway.kube.reading.retries import timeouts_of
from gateway.kube.reading.routes import parent_ref, value_matches
from gateway.schema.fields import Fields

AI_GATEWAY_GROUP: Final = "aigateway.envoyproxy.io"
ENVOY_GATEWAY_GROUP: Final = "gateway.envoyproxy.io"
_CHANGES: Final = ("modelNameOverride", "headerMutation", "bodyMutation")
_SERVED_SCHEMA: Final = "OpenAI"


def ai_route(meta: Meta, top: Fields) -> AIGatewayRoute:
    spec = spec_of(top)
    for key in ("llmRequestCosts", "filterConfig"):
        spec.ignored(key, "without effect here")
    _schema(spec)
    refs = (*spec.children("parentRefs", 32), *spec.children("targetRefs", 32))
    hostnames = tuple(name.lower() for name in spec.texts("hostnames", 16))
    rules = tuple(_rule(meta, item) for item in spec.children("rules", 128))
    route = HTTPRoute(meta, tuple(parent_ref(meta, ref) for ref in refs), hostnames, rules)
    spec.done()
    return AIGatewayRoute(meta, route)


def _schema(spec: Fields) -> str:
    schema = spec.child("schema")
    name = schema.text("name", _SERVED_SCHEMA) if schema else _SERVED_SCHEMA
    if name != _SERVED_SCHEMA:
        spec.problem("schema.name", f"schema {name} is not supported; {_SERVED_SCHEMA} is")
    return name


def _rule(meta: Meta, item: Fields) -> RouteRule:
    for key in ("modelsOwnedBy", "modelsCreatedAt", "streamIdleTimeout"):
        item.ignored(key, "without effect here")
    timeouts = item.child("timeouts")
    rule = RouteRule(
        name=item.text("name", longest=253),
        matches=tuple(_match(match) for match in item.children("matches", 128)) or (RouteMatch(),),
        filters=(),
        backends=tuple(_backend_ref(meta, ref) for ref in item.children("backendRefs", 128)),
        timeouts=timeouts_of(timeouts) if timeouts else Timeouts(),
    )
    item.done()
    return rule


def _match(item: Fields) -> RouteMatch:
    match = RouteMatch(headers=value_matches(item, "headers"))
    item.done()
    return match


def _backend_ref(meta: Meta, item: Fields) -> BackendRef:
    kind = item.text("kind", "AIServiceBackend")
    weight = item.integer("weight", 0, MAX_WEIGHT, 1)
    changes = tuple(UnservedFilter(key) for key in _CHANGES if item.has(key))
    if item.integer("priority", 0, 2**31 - 1, 0):
        item.at("priority").note("failover is not supported: the backend gets no requests")
        weight = 0
    backend = BackendRef(
        group=item.text("group", INFERENCE_GROUP if kind == "InferencePool" else AI_GATEWAY_GROUP),
        kind=kind,
        id=ObjectName(item.name("namespace", meta.id.namespace), item.name("name", required=True)),
        port=None,
        weight=1 if weight is None else weight,
        filters=changes,
    )
    item.done()
    return backend


def ai_backend(meta: Meta, top: Fields) -> AIServiceBackend:
    spec = spec_of(top)
    for key in ("timeouts", "backendSecurityPolicyRef"):
        spec.ignored(key, "without effect here")
    for key in ("headerMutation", "bodyMutation"):
        if spec.has(key):
            spec.problem(key, "not supported")
    schema, ref = _schema(spec), spec.child("backendRef", required=True)
    spec.done()
    backend = BackendRef("", "Service", ObjectName("", ""), port=None, weight=1, filters=())
    if ref is not None:
        kind = ref.text("kind", "Service")
        backend = BackendRef(
            group=ref.text("group", ""),
            kind=kind,
            id=ObjectName(ref.name("namespace", meta.id.namespace), ref.name("name", required=True)),
            port=ref.integer("port", 1, MAX_PORT),
            weight=1,
            filters=(),
        )
        ref.done()
    return AIServiceBackend(meta, schema, backend)


def backend(meta: Meta, top: Fields) -> Backend:
    spec = spec_of(top)
    for key in ("appProtocols", "type", "fallback"):
        spec.ignored(key, "without effect here")
    if spec.has("tls"):
        spec.problem("tls", "TLS to a Backend is not supported")
    endpoints = tuple(found for item in spec.children("endpoints", 64) if (found := _endpoint(item)) is not None)
    spec.done()
    return Backend(meta, endpoints)


def _endpoint(item: Fields) -> BackendEndpoint | None:
    for key, field in (("ip", "address"), ("fqdn", "hostname")):
        written = item.child(key)
        if written is not None:
            host = written.text(field, required=True)
            port = written.integer("port", 1, MAX_PORT, required=True) or 0
            written.done()
            return BackendEndpoint(host, port, is_name=key == "fqdn")
    item.problem("ip", "expected ip or fqdn")
    return None
