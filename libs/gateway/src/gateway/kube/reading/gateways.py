"""A Gateway and its listeners are read. Pure; the rules are those of Gateway API v1 and its CEL expressions."""

from collections.abc import Mapping

from gateway.kube.objects import (
    CertificateRef,
    Gateway,
    LabelSelector,
    Listener,
    ListenerTls,
    Meta,
    NamespacesFrom,
    ObjectName,
)
from gateway.kube.reading.parts import MAX_PORT, spec_of
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what


def gateway(meta: Meta, top: Fields) -> Gateway:
    spec = spec_of(top)
    for key in ("addresses", "infrastructure", "backendTLS", "allowedListeners", "defaultScope"):
        spec.ignored(key, "without effect here")
    frontend = spec.raw("tls")
    validates = isinstance(frontend, Mapping) and bool(frontend.get("frontend"))
    listeners = tuple(_listener(meta, item, validates) for item in spec.children("listeners", 64, least=1))
    names = [listener.name for listener in listeners]
    if len(set(names)) != len(names):
        spec.problem("listeners", "listener names must be unique")
    if len({(listener.port, listener.protocol, listener.hostname) for listener in listeners}) != len(listeners):
        spec.problem("listeners", "combination of port, protocol and hostname must be unique for each listener")
    found = Gateway(meta, spec.text("gatewayClassName", required=True), listeners)
    spec.done()
    return found


def _listener(meta: Meta, item: Fields, validates: object) -> Listener:
    allowed = item.child("allowedRoutes")
    namespaces = allowed.child("namespaces") if allowed else None
    selector = namespaces.child("selector") if namespaces else None
    if selector:
        selector.ignored("matchExpressions", "without effect here; use matchLabels")
    tls = item.child("tls")
    listener = Listener(
        name=item.name("name", required=True),
        hostname=item.text("hostname").lower(),
        port=item.integer("port", 1, MAX_PORT, required=True) or 0,
        protocol=item.text("protocol", required=True),
        namespaces_from=NamespacesFrom(
            namespaces.choice("from", tuple(NamespacesFrom), NamespacesFrom.SAME) if namespaces else NamespacesFrom.SAME
        ),
        namespace_selector=LabelSelector(selector.labels("matchLabels", 64) if selector else {}),
        route_kinds=tuple(kind.text("kind", required=True) for kind in allowed.children("kinds", 8)) if allowed else (),
        tls=_tls(meta, tls, validates) if tls else None,
    )
    item.done()
    if listener.hostname and not spelling.is_hostname(listener.hostname, wildcard=True):
        item.problem("hostname", f"not a host name: {what(listener.hostname)}")
    return listener


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
    item.done()
    return tls
