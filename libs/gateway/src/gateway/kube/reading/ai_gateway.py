"""Envoy AI Gateway's kinds are read (v1alpha1 and v1beta1), and Envoy Gateway's Backend. Pure.

An AIServiceBackend of another schema than OpenAI is read, too: only its own requests cannot be served.
"""

import json
from dataclasses import replace
from typing import Final

from gateway.kube.objects import (
    AI_GATEWAY_GROUP,
    INFERENCE_GROUP,
    SERVED_SCHEMA,
    AIGatewayRoute,
    AIServiceBackend,
    Backend,
    BackendEndpoint,
    BackendRef,
    Changes,
    HTTPRoute,
    Meta,
    ObjectName,
    RouteMatch,
    RouteRule,
    Timeouts,
    Validation,
)
from gateway.kube.reading.backend_tls import authority_refs
from gateway.kube.reading.costs import request_costs
from gateway.kube.reading.filters import check_header
from gateway.kube.reading.parts import INT32, MAX_PORT, MAX_WEIGHT, spec_of
from gateway.kube.reading.retries import timeouts_of
from gateway.kube.reading.routes import parent_ref, value_matches
from gateway.schema.fields import Fields

RESERVED_RULE: Final = "route-not-found"
# APIs that backends may have.
_SCHEMAS: Final = (
    SERVED_SCHEMA, "Cohere", "AWSBedrock", "AzureOpenAI", "GCPVertexAI", "GCPAnthropic", "Anthropic", "AWSAnthropic",
)  # fmt: skip


def ai_route(meta: Meta, top: Fields) -> AIGatewayRoute:
    spec = spec_of(top)
    spec.ignored("filterConfig", "without effect here")
    schema, _ = _schema(spec)
    if schema != SERVED_SCHEMA:
        spec.problem("schema.name", f"schema {schema} is not supported; {SERVED_SCHEMA} is")
    refs = (*spec.children("parentRefs", 32), *spec.children("targetRefs", 32))
    hostnames = tuple(name.lower() for name in spec.texts("hostnames", 16))
    rules = tuple(_rule(meta, item) for item in spec.children("rules", 128))
    named = [rule.name for rule in rules if rule.name]
    if len(set(named)) != len(named):
        spec.problem("rules", "rule names must be unique within the route")
    for ref in refs:
        if ref.text("kind", "Gateway") != "Gateway":
            ref.problem("kind", "only a Gateway can be a parent")
    parents = tuple(parent_ref(meta, ref) for ref in refs)
    route = HTTPRoute(meta, parents, hostnames, rules, costs=request_costs(spec, "llmRequestCosts"))
    spec.done()
    return AIGatewayRoute(meta, route)


def _schema(spec: Fields) -> tuple[str, str]:
    """The name of the API, and the path's prefix where it is not the usual one."""
    schema = spec.child("schema")
    if schema is None:
        return SERVED_SCHEMA, ""
    name = schema.choice("name", _SCHEMAS, SERVED_SCHEMA)
    prefix = schema.text("prefix") or schema.text("version")  # the older name
    schema.done()
    return name, prefix.strip("/") if name == SERVED_SCHEMA else ""


def _rule(meta: Meta, item: Fields) -> RouteRule:
    for key in ("modelsOwnedBy", "modelsCreatedAt"):
        item.ignored(key, "without effect here")
    if item.raw("name") == RESERVED_RULE:
        item.problem("name", "reserved")
    timeouts = item.child("timeouts")
    rule = RouteRule(
        name=item.text("name", longest=253),
        matches=tuple(_match(match) for match in item.children("matches", 128)) or (RouteMatch(),),
        filters=(),
        backends=tuple(_backend_ref(meta, ref) for ref in item.children("backendRefs", 128)),
        timeouts=replace(
            timeouts_of(timeouts) if timeouts else Timeouts(), stream_idle=item.duration("streamIdleTimeout")
        ),
    )
    item.done()
    return rule


def _match(item: Fields) -> RouteMatch:
    match = RouteMatch(headers=value_matches(item, "headers"))
    item.done()
    return match


def _backend_ref(meta: Meta, item: Fields) -> BackendRef:
    kind = item.text("kind", "AIServiceBackend")
    if kind == "InferencePool" and not item.has("group"):
        item.at("kind").note("upstream wants a group beside it; the pool of this name is taken, whatever its group")
    weight = item.integer("weight", 0, MAX_WEIGHT, 1)
    model = item.text("modelNameOverride")
    named = Changes(fields=(("model", json.dumps(model)),)) if model else Changes()
    backend = BackendRef(
        group=item.text("group", INFERENCE_GROUP if kind == "InferencePool" else AI_GATEWAY_GROUP),
        kind=kind,
        id=ObjectName(item.name("namespace", meta.id.namespace), item.name("name", required=True)),
        port=None,
        weight=1 if weight is None else weight,
        filters=(),
        priority=item.integer("priority", 0, INT32, 0) or 0,
        changes=named.then(_mutations(item)),
    )
    item.done()
    return backend


def _mutations(item: Fields) -> Changes:
    """`headerMutation` and `bodyMutation`."""
    headers, body = item.child("headerMutation"), item.child("bodyMutation")
    changes = Changes()
    if headers:
        named = tuple((_header(entry), entry.one_line("value")) for entry in headers.children("set", 16))
        removed = tuple(name.lower() for name in headers.texts("remove", 16))
        headers.done()
        changes = changes.then(Changes(set_headers=named, removed_headers=removed))
    if body:
        written = tuple((entry.text("path", required=True), _json(entry)) for entry in body.children("set", 16))
        changes = changes.then(Changes(fields=written, removed_fields=body.texts("remove", 16)))
        body.done()
    return changes


def _header(entry: Fields) -> str:
    name = entry.text("name", required=True, longest=256)
    if name:
        check_header(entry, "name", name)
    return name.lower()


def _json(entry: Fields) -> str:
    """The value of a member, which is JSON in a string."""
    text = entry.text("value", required=True, longest=65536)
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        entry.problem("value", 'expected JSON, such as 5, true or "text" with its quotes')
        return "null"


def ai_backend(meta: Meta, top: Fields) -> AIServiceBackend:
    spec = spec_of(top)
    spec.ignored("timeouts", "without effect here")
    changes = _mutations(spec)
    policy, ref = spec.child("backendSecurityPolicyRef"), spec.child("backendRef", required=True)
    schema, prefix = _schema(spec)
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
    changes = Changes(prefix=prefix).then(changes)
    return AIServiceBackend(meta, schema, backend, changes, policy.name("name", required=True) if policy else "")


def backend(meta: Meta, top: Fields) -> Backend:
    spec = spec_of(top)
    is_fallback = spec.boolean("fallback", default=False)
    for key in ("appProtocols", "type"):
        spec.ignored(key, "without effect here")
    tls = spec.child("tls")
    endpoints = tuple(found for item in spec.children("endpoints", 64) if (found := _endpoint(item)) is not None)
    spec.done()
    return Backend(meta, endpoints, _backend_tls(meta, tls) if tls else None, is_fallback)


def _backend_tls(meta: Meta, item: Fields) -> Validation:
    for key in ("alpnProtocols", "minVersion", "maxVersion", "ciphers", "ecdhCurves", "signatureAlgorithms"):
        item.ignored(key, "without effect here")
    if item.has("clientCertificateRef"):
        item.problem("clientCertificateRef", "client certificates to a Backend are not supported")
    validation = Validation(
        hostname=item.text("sni"),
        authorities=authority_refs(meta, item),
        is_skipped=item.boolean("insecureSkipVerify", default=False),
    )
    item.done()
    return validation


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
