"""What becomes of each listener: accepted or not, served or not, and with which certificates. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.options import Options
from controlplane.plan import hosts
from controlplane.plan.certificates import Certificate, certificate
from controlplane.plan.grants import Referred, Referring, permitted
from controlplane.status.conditions import Condition, met, unmet
from gateway.kube.objects import GATEWAY_GROUP, CertificateRef, Gateway, Listener, Manifests, ObjectName

HTTP: Final = "HTTP"
HTTPS: Final = "HTTPS"
ROUTE_KIND: Final = "HTTPRoute"


@dataclass(frozen=True, slots=True)
class TlsHost:
    """The certificates for one name of TLS server, the most specific name first; empty: every other name."""

    hostname: str
    certificates: tuple[Certificate, ...]


Listeners = Mapping[tuple[ObjectName, str], "PlannedListener"]  # by Gateway and name


@dataclass(frozen=True, slots=True)
class PlannedListener:
    """A listener of a Gateway and its conditions. Routes may attach to one that is accepted."""

    gateway: Gateway
    listener: Listener
    accepted: Condition
    resolved: Condition
    certificates: tuple[Certificate, ...] = ()

    @property
    def route_kinds(self) -> tuple[str, ...]:
        """The kinds of routes that it takes."""
        is_http = self.listener.protocol in (HTTP, HTTPS)
        return (ROUTE_KIND,) if is_http and ROUTE_KIND in (self.listener.route_kinds or (ROUTE_KIND,)) else ()

    @property
    def is_served(self) -> bool:
        """Whether requests reach it."""
        return self.accepted.is_true and (self.listener.protocol == HTTP or bool(self.certificates))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """As the Gateway API has them."""
        programmed = met("Programmed", "Programmed") if self.is_served else unmet("Programmed", "Invalid")
        strange = [kind for kind in self.listener.route_kinds if kind != ROUTE_KIND]
        if strange and self.resolved.is_true:
            message = f"routes of kind {', '.join(strange)} are not served"
            return (self.accepted, unmet("ResolvedRefs", "InvalidRouteKinds", message), programmed)
        return (self.accepted, self.resolved, programmed)


def planned_listeners(manifests: Manifests, options: Options) -> Listeners:
    """Every listener of every Gateway; of those that cannot share a port the first by Gateway and place is served."""
    found: dict[tuple[ObjectName, str], PlannedListener] = {}
    bound: dict[int, Listener] = {}  # by the port that Envoy binds
    names: dict[tuple[int, str], ObjectName] = {}  # TLS server names
    for gateway, listener in _sorted(manifests):
        planned = _planned(manifests, gateway, listener)
        if planned.accepted.is_true:
            first = bound.setdefault(options.bound_port(listener.port), listener)
            clash = _clash(first, listener, options)
            owner = names.setdefault((listener.port, listener.hostname), gateway.meta.id)
            if clash is None and listener.protocol == HTTPS and owner != gateway.meta.id:
                clash = unmet("Accepted", "HostnameConflict", f"Gateway {owner} has this host name and port")
            planned = planned if clash is None else PlannedListener(gateway, listener, clash, planned.resolved)
        found[gateway.meta.id, listener.name] = planned
    return found


def _sorted(manifests: Manifests) -> Iterator[tuple[Gateway, Listener]]:
    for _, gateway in sorted(manifests.gateways.items()):
        yield from ((gateway, listener) for listener in gateway.listeners)


def _clash(first: Listener, listener: Listener, options: Options) -> Condition | None:
    """Why a listener cannot be bound beside the first of its port."""
    if first.port != listener.port:
        port = options.bound_port(listener.port)
        return unmet("Accepted", "PortUnavailable", f"port {port} is bound for port {first.port} already")
    if first.protocol != listener.protocol:
        return unmet("Accepted", "ProtocolConflict", f"port {listener.port} serves {first.protocol}")
    return None


def _planned(manifests: Manifests, gateway: Gateway, listener: Listener) -> PlannedListener:
    resolved = met("ResolvedRefs", "ResolvedRefs")
    refusal = _refusal(listener)
    if refusal is not None:
        return PlannedListener(gateway, listener, refusal, resolved)
    if listener.tls is None:
        return PlannedListener(gateway, listener, met("Accepted", "Accepted"), resolved)
    tried = [_certificate(manifests, gateway, ref) for ref in listener.tls.certificates]
    faults = [item for item in tried if isinstance(item, Condition)]
    certificates = tuple(item for item in tried if isinstance(item, Certificate))
    return PlannedListener(gateway, listener, met("Accepted", "Accepted"), (*faults, resolved)[0], certificates)


def _refusal(listener: Listener) -> Condition | None:
    """Why a listener can never be served."""
    if listener.protocol not in (HTTP, HTTPS):
        message = f"protocol {listener.protocol} is not served; HTTP and HTTPS are"
        return unmet("Accepted", "UnsupportedProtocol", message)
    if listener.protocol == HTTP:
        return None
    if listener.tls is None or not listener.tls.certificates:
        return unmet("Accepted", "UnsupportedValue", "an HTTPS listener needs tls.certificateRefs")
    if listener.tls.validates_clients:
        return unmet("Accepted", "UnsupportedValue", "client certificates are not supported, so nobody may connect")
    return None


def _certificate(manifests: Manifests, gateway: Gateway, ref: CertificateRef) -> Certificate | Condition:
    if ref.kind != "Secret" or ref.group:
        return unmet("ResolvedRefs", "InvalidCertificateRef", f"{ref.kind} {ref.id} is no Secret")
    referring = Referring(GATEWAY_GROUP, "Gateway", gateway.meta.id.namespace)
    if not permitted(manifests, referring, Referred(ref.group, ref.kind, ref.id)):
        return unmet("ResolvedRefs", "RefNotPermitted", f"no ReferenceGrant lets it refer to Secret {ref.id}")
    secret = manifests.secrets.get(ref.id)
    found = certificate(secret) if secret is not None else f"no Secret {ref.id}"
    return found if isinstance(found, Certificate) else unmet("ResolvedRefs", "InvalidCertificateRef", found)


def served(listeners: Listeners) -> Mapping[int, Sequence[PlannedListener]]:
    """The listeners that requests reach, by port. Those of several Gateways share it: one Envoy serves them all."""
    found: dict[int, list[PlannedListener]] = {}
    for planned in listeners.values():
        if planned.is_served:
            found.setdefault(planned.listener.port, []).append(planned)
    return dict(sorted(found.items()))


def tls_hosts(planned: Sequence[PlannedListener]) -> tuple[TlsHost, ...]:
    """The server names of a port; none where it serves plaintext."""
    found: dict[str, dict[ObjectName, Certificate]] = {}
    for item in planned:
        for each in item.certificates:
            found.setdefault(item.listener.hostname, {})[each.id] = each
    ordered = sorted(found.items(), key=lambda item: hosts.specificity(item[0]))
    return tuple(TlsHost(hostname, tuple(certificates.values())) for hostname, certificates in ordered)
