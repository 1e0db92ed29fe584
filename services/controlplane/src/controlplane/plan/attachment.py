"""Which listeners a route is attached to, by name, kind, namespace and host name. Pure."""

from controlplane.plan import hosts
from controlplane.plan.entries import Attachment
from controlplane.plan.listeners import Listeners
from controlplane.status.conditions import Condition, met, unmet
from gateway.kube.objects import (
    GATEWAY_GROUP,
    Gateway,
    HTTPRoute,
    Listener,
    Manifests,
    NamespacesFrom,
    ObjectName,
    ParentRef,
)


def attach(
    manifests: Manifests, listeners: Listeners, route: HTTPRoute, ref: ParentRef
) -> tuple[list[Attachment], Condition]:
    """The listeners of one parent that serve a route, and its Accepted condition there."""
    gateway = manifests.gateways.get(ref.id)
    if gateway is None or ref.kind != "Gateway" or ref.group != GATEWAY_GROUP:
        return [], unmet("Accepted", "NoMatchingParent", f"no {ref.kind} {ref.id}")
    named = [
        listener
        for listener in gateway.listeners
        if ref.section_name in ("", listener.name) and ref.port in (None, listener.port)
    ]
    if not named:
        return [], unmet("Accepted", "NoMatchingParent", f"{ref.id} has no such listener")
    accepted = [listener for listener in named if listeners[ref.id, listener.name].accepted.is_true]
    allowed = [listener for listener in accepted if _allows(manifests, gateway, listener, route)]
    if not allowed:
        return [], unmet("Accepted", "NotAllowedByListeners", f"no listener of {ref.id} allows it")
    found = []
    for listener in allowed:
        names = _effective_hostnames(listener, route)
        if names:
            found.append(Attachment(gateway, listener, route, names))
    if not found:
        return [], unmet("Accepted", "NoMatchingListenerHostname", "no listener serves its host names")
    return found, met("Accepted", "Accepted", "Route was valid")


def _allows(manifests: Manifests, gateway: Gateway, listener: Listener, route: HTTPRoute) -> bool:
    if listener.route_kinds and "HTTPRoute" not in listener.route_kinds:
        return False
    namespace = route.meta.id.namespace
    match listener.namespaces_from:
        case NamespacesFrom.ALL:
            return True
        case NamespacesFrom.SAME:
            return namespace == gateway.meta.id.namespace
        case NamespacesFrom.SELECTOR:
            known = manifests.namespaces.get(ObjectName("default", namespace))
            labels = {"kubernetes.io/metadata.name": namespace, **(known.meta.labels if known else {})}
            return listener.namespace_selector.matches(labels)
        case NamespacesFrom.NONE:
            return False


def _effective_hostnames(listener: Listener, route: HTTPRoute) -> tuple[str, ...]:
    written = route.hostnames or ("",)
    found = (hosts.intersect(listener.hostname, name) for name in written)
    return tuple(dict.fromkeys(name for name in found if name is not None))
