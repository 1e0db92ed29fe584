"""A Gateway and its listeners are read. Pure; the rules are those of Gateway API v1 and its CEL expressions."""

from collections.abc import Mapping

from gateway.kube.objects import (
    GATEWAY_GROUP,
    NO_INFRASTRUCTURE,
    CertificateRef,
    Gateway,
    GatewayClass,
    Infrastructure,
    LabelOperator,
    LabelRequirement,
    LabelSelector,
    Listener,
    ListenerTls,
    Meta,
    NamespacesFrom,
    ObjectName,
    ParametersRef,
)
from gateway.kube.reading.parts import MAX_PORT, spec_of
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what


def gateway_class(meta: Meta, top: Fields) -> GatewayClass:
    spec = spec_of(top)
    spec.known("description")
    parameters = spec.child("parametersRef")
    found = GatewayClass(
        meta,
        spec.text("controllerName", required=True),
        parameters=_parameters(parameters, parameters.name("namespace")) if parameters else None,
    )
    spec.done()
    return found


def gateway(meta: Meta, top: Fields) -> Gateway:
    spec = spec_of(top)
    for key in ("backendTLS", "allowedListeners", "defaultScope"):
        spec.ignored(key, "without effect here")
    infrastructure = spec.child("infrastructure")
    frontend = spec.raw("tls")
    validates = isinstance(frontend, Mapping) and bool(frontend.get("frontend"))
    listeners = tuple(_listener(meta, item, validates) for item in spec.children("listeners", 64, least=1))
    names = [listener.name for listener in listeners]
    if len(set(names)) != len(names):
        spec.problem("listeners", "listener names must be unique")
    if len({(listener.port, listener.protocol, listener.hostname) for listener in listeners}) != len(listeners):
        spec.problem("listeners", "combination of port, protocol and hostname must be unique for each listener")
    found = Gateway(
        meta,
        spec.text("gatewayClassName", required=True),
        listeners,
        addresses=_addresses(spec),
        infrastructure=_infrastructure(meta, infrastructure) if infrastructure else NO_INFRASTRUCTURE,
    )
    spec.done()
    return found


def _infrastructure(meta: Meta, item: Fields) -> Infrastructure:
    annotations = item.strings("annotations")
    if len(annotations) > 8:
        item.problem("annotations", "expected 0 to 8 entries")
    parameters = item.child("parametersRef")
    found = Infrastructure(
        item.labels("labels", 8),
        annotations,
        _parameters(parameters, meta.id.namespace) if parameters else None,
    )
    item.done()
    return found


def _parameters(item: Fields, namespace: str) -> ParametersRef:
    """The group is required, and empty for the core's kinds."""
    if not item.has("group"):
        item.problem("group", "required")
    kind, name = item.text("kind", required=True), item.text("name", required=True)
    found = ParametersRef(item.text("group"), kind, ObjectName(namespace, name))
    item.done()
    return found


def _addresses(spec: Fields) -> tuple[str, ...]:
    """Of the two types that the API itself defines. Addresses of another one mean nothing here."""
    found: list[tuple[str, str]] = []
    for item in spec.children("addresses", 16):
        kind, value = item.text("type", "IPAddress"), item.text("value", longest=253)
        item.done()
        if kind == "IPAddress" and value and spelling.ip_version(value) is None:
            item.problem("value", f"expected an IP address, got {what(value)}")
        elif kind == "Hostname" and value and not spelling.is_hostname(value, wildcard=True):
            item.problem("value", f"not a host name: {what(value)}")
        elif kind not in ("IPAddress", "Hostname"):
            item.at("type").note(f"addresses of type {what(kind)} are without effect here")
            continue
        found.append((kind, value))
    for kind in ("IPAddress", "Hostname"):
        values = [value for each, value in found if each == kind and value]
        if len(set(values)) != len(values):
            spec.problem("addresses", f"{kind} values must be unique")
    return tuple(value for _, value in found if value)


def _selector(item: Fields | None) -> LabelSelector:
    if item is None:
        return LabelSelector({})
    selector = LabelSelector(
        item.labels("matchLabels", 64),
        tuple(_requirement(each) for each in item.children("matchExpressions", 64)),
    )
    item.done()
    return selector


def _requirement(item: Fields) -> LabelRequirement:
    operator = LabelOperator(item.choice("operator", tuple(LabelOperator), LabelOperator.EXISTS))
    values = item.texts("values", 64)
    found = LabelRequirement(item.text("key", required=True), operator, values)
    if not item.has("operator"):
        item.problem("operator", "required")
    if bool(values) != (operator in (LabelOperator.IN, LabelOperator.NOT_IN)):
        item.problem("values", "In and NotIn need values, Exists and DoesNotExist may have none")
    item.done()
    return found


def _listener(meta: Meta, item: Fields, validates: object) -> Listener:
    allowed = item.child("allowedRoutes")
    namespaces = allowed.child("namespaces") if allowed else None
    written = namespaces.child("selector") if namespaces else None
    tls = item.child("tls")
    listener = Listener(
        name=item.name("name", required=True),
        hostname=item.text("hostname").lower(),
        port=item.integer("port", 1, MAX_PORT, required=True) or 0,
        protocol=item.text("protocol", required=True),
        namespaces_from=NamespacesFrom(
            namespaces.choice("from", tuple(NamespacesFrom), NamespacesFrom.SAME) if namespaces else NamespacesFrom.SAME
        ),
        namespace_selector=_selector(written),
        route_kinds=tuple(_route_kind(kind) for kind in allowed.children("kinds", 8)) if allowed else (),
        tls=_tls(meta, tls, validates) if tls else None,
    )
    for each in (namespaces, allowed, item):
        if each:
            each.done()
    _check_protocol(item, listener)
    if listener.hostname and not spelling.is_hostname(listener.hostname, wildcard=True):
        item.problem("hostname", f"not a host name: {what(listener.hostname)}")
    return listener


def _route_kind(item: Fields) -> str:
    """A kind of another group is none that this API has."""
    group, kind = item.text("group", GATEWAY_GROUP), item.text("kind", required=True)
    item.done()
    return kind if group == GATEWAY_GROUP else f"{kind}.{group}"


def _check_protocol(item: Fields, listener: Listener) -> None:
    if listener.protocol in ("HTTP", "TCP", "UDP") and listener.tls:
        item.problem("tls", "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']")
    if listener.protocol in ("TCP", "UDP") and listener.hostname:
        item.problem("hostname", "hostname must not be specified for protocols ['TCP', 'UDP']")
    if listener.protocol == "HTTPS" and listener.tls and not listener.tls.is_terminated:
        item.problem("tls.mode", "tls mode must be Terminate for protocol HTTPS")
    written = item.raw("tls")
    if listener.protocol == "TLS" and isinstance(written, Mapping) and not written.get("mode"):
        item.problem("tls", "tls mode must be set for protocol TLS")


def _tls(meta: Meta, item: Fields, validates: object) -> ListenerTls:
    item.ignored("options", "without effect here")
    tls = ListenerTls(
        is_terminated=item.choice("mode", ("Terminate", "Passthrough"), "Terminate") == "Terminate",
        certificates=tuple(
            CertificateRef(
                group=ref.text("group"),
                kind=ref.text("kind", "Secret"),
                id=ObjectName(ref.name("namespace", meta.id.namespace), ref.name("name", required=True)),
            )
            for ref in item.children("certificateRefs", 64)
        ),
        validates_clients=bool(validates) or item.has("frontendValidation"),
    )
    if tls.is_terminated and not tls.certificates and not item.has("options"):
        item.problem("certificateRefs", "certificateRefs or options must be specified when mode is Terminate")
    item.done()
    return tls
