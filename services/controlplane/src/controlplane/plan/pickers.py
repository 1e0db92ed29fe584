"""The endpoint picker of a pool: where it is, over which transport it is asked, and why. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from controlplane.options import Options, PickerBody, PickerTransport
from controlplane.plan.backend_tls import BackendTls, ordered_by_rule, policy_for, rule_for, unverified, validated
from controlplane.status.conditions import Condition, unmet
from gateway.kube.objects import InferencePool, Manifests, ObjectName, TrafficPolicy
from gateway.kube.resolution.endpoints import Addresses, HostPort, service_endpoints, service_hostname
from gateway.wire import protocol
from gateway.wire.ports import MOST_WORKERS, worker_port

# Envoy AI Gateway's own picker, by the name that its examples refer to: the default picker does its work here.
AI_GATEWAY_PICKER: Final = "envoy-ai-gateway"
WORKERS_ANNOTATION = "pointsman.dev/picker-workers"
BODY_ANNOTATION = "pointsman.dev/picker-body"
HTTP_PORT_ANNOTATION = "pointsman.dev/picker-http-port"


@dataclass(frozen=True, slots=True)
class Picker:
    """The picker of one pool, its own or the default one. `transport` is the one asked; its HTTP port is on the same
    hosts as its gRPC port. Of several workers each is an endpoint."""

    service: ObjectName
    port: int
    endpoints: tuple[HostPort, ...]
    policy: TrafficPolicy
    tls: BackendTls | None  # None: plaintext
    security: str  # how it is reached over gRPC and why, for people
    transport: PickerTransport
    reason: str
    body: PickerBody
    body_reason: str
    http_port: int
    workers: int
    is_default: bool

    @property
    def http_endpoints(self) -> tuple[HostPort, ...]:
        """The same hosts on the HTTP port, each worker on its own."""
        hosts = dict.fromkeys(HostPort(found.address, self.http_port) for found in self.endpoints)
        return _of_workers(hosts, self.workers)

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
    secured = _security(service, port, manifests, options)
    if isinstance(secured, Condition):
        return secured
    tls, security = secured
    http_port, workers = _http_port(pool, options), _workers(pool, options)
    hosts = {found.address for found in endpoints}
    transport, reason = _served(*_transport(pool, manifests, options), len(hosts), options)
    body, body_reason = _body(pool, transport, options)
    rule = rule_for(service, manifests)
    return Picker(
        service=service,
        port=port,
        endpoints=_of_workers(endpoints, workers),
        policy=rule.at(port) if rule is not None else TrafficPolicy(),
        tls=tls,
        security=security,
        transport=transport,
        reason=reason,
        body=body,
        body_reason=body_reason,
        http_port=http_port,
        workers=workers,
        is_default=found.is_default,
    )


class _Reference(NamedTuple):
    service: ObjectName
    port: int
    is_default: bool


def goes_in_turn(pool: InferencePool) -> bool:
    """Whether Envoy takes the pool's endpoints one after the other, whatever picker there is."""
    return pool.meta.annotations.get(protocol.PICKER_ANNOTATION) == protocol.ROUND_ROBIN


def _reference(pool: InferencePool, options: Options) -> _Reference | Condition | None:
    if goes_in_turn(pool):
        return None
    ref = pool.picker
    if options.default_picker is not None and (ref is None or ref.name == AI_GATEWAY_PICKER):
        return _Reference(*options.default_picker, is_default=True)
    if ref is None:
        return None
    service = ObjectName(pool.meta.id.namespace, ref.name)
    if ref.kind != "Service" or ref.group:
        return unmet("ResolvedRefs", "InvalidExtensionRef", f"{ref.kind} {service} is no Service")
    return _Reference(service, ref.port, is_default=False)


def _security(
    service: ObjectName, port: int, manifests: Manifests, options: Options
) -> tuple[BackendTls | None, str] | Condition:
    """TLS or none, with the reason for people."""
    rule, hostname = rule_for(service, manifests), service_hostname(*service)
    settings = rule.at(port).tls if rule is not None else None
    policy = policy_for("", "Service", service, (), manifests)
    if rule is not None and settings is not None:
        source, tls = f"DestinationRule {rule.meta.id}", ordered_by_rule(rule, settings, hostname, manifests)
    elif policy is not None:
        source = f"BackendTLSPolicy {policy.meta.id}"
        tls = validated(source, policy.validation, manifests)
    else:
        tls = unverified(hostname) if options.picker_tls else None
        source = f"--picker-tls {'tls' if options.picker_tls else 'plaintext'}"
    if isinstance(tls, str):
        return unmet("ResolvedRefs", "InvalidExtensionRef", tls)
    how = "plaintext" if tls is None else "verified TLS" if tls.is_verified else "unverified TLS"
    return tls, f"{how}: {source}"


def _transport(pool: InferencePool, manifests: Manifests, options: Options) -> tuple[PickerTransport, str]:
    """The transport, and why, for people."""
    written = pool.meta.annotations.get(protocol.PICKER_ANNOTATION)
    source = f"annotation {protocol.PICKER_ANNOTATION}" if written else "--picker"
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


def _body(pool: InferencePool, transport: PickerTransport, options: Options) -> tuple[PickerBody, str]:
    """The body mode, and why, for people."""
    if transport is PickerTransport.HTTP:
        return PickerBody.BUFFERED, "ext_authz buffers"
    written = pool.meta.annotations.get(BODY_ANNOTATION)
    if written is None:
        return options.picker_body, f"--picker-body {options.picker_body}"
    if written in tuple(PickerBody):
        return PickerBody(written), f"annotation {BODY_ANNOTATION}"
    return options.picker_body, f"annotation {BODY_ANNOTATION}: {written!r} is none of {', '.join(PickerBody)}"


def _served(wanted: PickerTransport, reason: str, replicas: int, options: Options) -> tuple[PickerTransport, str]:
    """Over HTTP a picker learns of a request's end from the access log alone, and each worker of Envoy sends that to
    one replica. So several of them need Redis, through which they pass on what is another's."""
    if wanted is PickerTransport.HTTP and replicas > 1 and not options.pickers_share_state:
        return PickerTransport.EXT_PROC, (
            f"{reason}; but {replicas} pickers over HTTP know of each other's requests through Redis only: "
            "if they share one, say --pickers-share-state"
        )
    return wanted, reason


def _rewrites(pool: InferencePool, manifests: Manifests) -> str:
    """An object that makes the picker change bodies of this pool, or nothing."""
    for name, rewrite in sorted(manifests.rewrites.items()):
        if rewrite.pool == pool.meta.id:
            return f"InferenceModelRewrite {name}"
    for name, model in sorted(manifests.models.items()):
        if model.pool == pool.meta.id and any(target.model != model.model_name for target in model.targets):
            return f"InferenceModel {name}"
    return ""


def _of_workers(hosts: Iterable[HostPort], workers: int) -> tuple[HostPort, ...]:
    return tuple(HostPort(each.address, worker_port(each.port, index)) for each in hosts for index in range(workers))


def _workers(pool: InferencePool, options: Options) -> int:
    written = pool.meta.annotations.get(WORKERS_ANNOTATION, "")
    is_count = written.isascii() and written.isdecimal() and 0 < int(written) <= MOST_WORKERS
    return int(written) if is_count else options.picker_workers


def _http_port(pool: InferencePool, options: Options) -> int:
    written = pool.meta.annotations.get(HTTP_PORT_ANNOTATION, "")
    return int(written) if written.isdecimal() and 0 < int(written) < 65536 else options.picker_http_port
