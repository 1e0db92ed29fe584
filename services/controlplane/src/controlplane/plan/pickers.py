"""The endpoint picker of a pool: where it is, over which transport it is asked, and why. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from controlplane.options import Options, PickerTransport
from controlplane.status.conditions import Condition, unmet
from gateway.kube.objects import DestinationRule, InferencePool, Manifests, ObjectName, TlsMode, TlsSettings
from gateway.kube.resolution.endpoints import Addresses, HostPort, service_endpoints, service_hostname

# Envoy AI Gateway's own picker, by the name that its examples refer to: the default picker does its work here.
AI_GATEWAY_PICKER: Final = "envoy-ai-gateway"
UNVERIFIED: Final = TlsSettings(
    mode=TlsMode.SIMPLE,
    insecure_skip_verify=True,
    sni="",
    ca_certificates="",
    client_certificate="",
    private_key="",
    subject_alt_names=(),
)
TRANSPORT_ANNOTATION = "pointsman.dev/picker"
HTTP_PORT_ANNOTATION = "pointsman.dev/picker-http-port"


@dataclass(frozen=True, slots=True)
class Picker:
    """The picker of one pool, its own or the default one. `transport` is the one asked; its HTTP port is on the same
    hosts as its gRPC port."""

    service: ObjectName
    port: int
    endpoints: tuple[HostPort, ...]
    rule: DestinationRule | None
    tls: TlsSettings | None  # None: plaintext
    security: str  # how it is reached over gRPC and why, for people
    transport: PickerTransport
    reason: str
    http_port: int
    is_default: bool

    @property
    def http_endpoints(self) -> tuple[HostPort, ...]:
        """The same hosts on the HTTP port."""
        return tuple(dict.fromkeys(HostPort(found.address, self.http_port) for found in self.endpoints))

    @property
    def hostname(self) -> str:
        return service_hostname(self.service.namespace, self.service.name)


def picker(
    pool: InferencePool, manifests: Manifests, addresses: Addresses, options: Options
) -> Picker | Condition | None:
    """The pool's picker; a condition when its reference leads nowhere; None when nothing names one."""
    found = _reference(pool, options)
    if found is None or isinstance(found, Condition):
        return found
    service, port = found.service, found.port
    endpoints = service_endpoints(manifests, *service, port, addresses)
    if service not in manifests.services and not endpoints:
        return unmet("ResolvedRefs", "InvalidExtensionRef", f"no Service {service}, and no address of it")
    if service in manifests.services and manifests.services[service].type == "ExternalName":
        return unmet("ResolvedRefs", "InvalidExtensionRef", f"Service {service} is an ExternalName")
    rule = next(_rules(manifests, service), None)
    transport, reason = _transport(pool, manifests, options)
    tls, security = _security(rule, options)
    return Picker(
        service=service,
        port=port,
        endpoints=endpoints,
        rule=rule,
        tls=tls,
        security=security,
        transport=transport,
        reason=reason,
        http_port=_http_port(pool, options),
        is_default=found.is_default,
    )


class _Reference(NamedTuple):
    service: ObjectName
    port: int
    is_default: bool


def _reference(pool: InferencePool, options: Options) -> _Reference | Condition | None:
    ref = pool.picker
    if options.default_picker is not None and (ref is None or ref.name == AI_GATEWAY_PICKER):
        return _Reference(*options.default_picker, is_default=True)
    if ref is None:
        return None
    service = ObjectName(pool.meta.id.namespace, ref.name)
    if ref.kind != "Service" or ref.group:
        return unmet("ResolvedRefs", "InvalidExtensionRef", f"{ref.kind} {service} is no Service")
    return _Reference(service, ref.port, is_default=False)


def _security(rule: DestinationRule | None, options: Options) -> tuple[TlsSettings | None, str]:
    if rule is not None and rule.tls is not None:
        source = f"DestinationRule {rule.meta.id}"
        if rule.tls.mode is TlsMode.DISABLE:
            return None, f"plaintext: {source}"
        verified = "unverified TLS" if rule.tls.insecure_skip_verify else "verified TLS"
        return rule.tls, f"{verified}: {source}"
    if options.picker_tls:
        return UNVERIFIED, "unverified TLS: --picker-tls tls"
    return None, "plaintext: --picker-tls plaintext"


def _transport(pool: InferencePool, manifests: Manifests, options: Options) -> tuple[PickerTransport, str]:
    """The transport, and why, for people."""
    written = pool.meta.annotations.get(TRANSPORT_ANNOTATION)
    source = f"annotation {TRANSPORT_ANNOTATION}" if written else "--picker"
    if written is not None and written not in tuple(PickerTransport):
        return PickerTransport.EXT_PROC, f"{source}: {written!r} is none of {', '.join(PickerTransport)}"
    wanted = PickerTransport(written) if written else options.picker
    rewrites = _rewrites(pool, manifests)
    if wanted is PickerTransport.AUTO and rewrites:
        return PickerTransport.EXT_PROC, f"{source} auto: {rewrites} rewrites the model, which needs the body"
    if wanted is PickerTransport.AUTO:
        return PickerTransport.HTTP, f"{source} auto: nothing rewrites the body"
    if wanted is PickerTransport.HTTP and rewrites:
        return wanted, f"{source} http; but {rewrites} rewrites the model, and such requests will fail"
    return wanted, f"{source} {wanted}"


def _rewrites(pool: InferencePool, manifests: Manifests) -> str:
    """An object that makes the picker change bodies of this pool, or nothing."""
    for name, rewrite in sorted(manifests.rewrites.items()):
        if rewrite.pool == pool.meta.id:
            return f"InferenceModelRewrite {name}"
    for name, model in sorted(manifests.models.items()):
        if model.pool == pool.meta.id and any(target.model != model.model_name for target in model.targets):
            return f"InferenceModel {name}"
    return ""


def _http_port(pool: InferencePool, options: Options) -> int:
    written = pool.meta.annotations.get(HTTP_PORT_ANNOTATION, "")
    return int(written) if written.isdecimal() and 0 < int(written) < 65536 else options.picker_http_port


def _rules(manifests: Manifests, service: ObjectName) -> Iterator[DestinationRule]:
    """DestinationRules whose host is the Service, in any of the ways that Istio lets one write it."""
    full = service_hostname(*service)
    for name, rule in sorted(manifests.destination_rules.items()):
        local = rule.host == service.name and name.namespace == service.namespace
        if local or rule.host in (f"{service.name}.{service.namespace}", full, f"{full}.cluster.local"):
            yield rule
