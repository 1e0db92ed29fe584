"""What Envoy AI Gateway's objects amount to in the kinds that everything else knows. Pure.

An AIGatewayRoute is the HTTPRoute of its name, unless there is one. The endpoints of an AIServiceBackend are
EndpointSlices with the labels of the AIServiceBackend. So a route reaches them as those of a Service, and a pool whose
selector matches the labels has them as its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from gateway.kube.objects import (
    AI_GATEWAY_GROUP,
    ENVOY_GATEWAY_GROUP,
    GATEWAY_GROUP,
    SERVED_SCHEMA,
    SERVICE_NAME_LABEL,
    AddressType,
    AIServiceBackend,
    BackendEndpoint,
    BackendRef,
    EndpointSlice,
    Gateway,
    HTTPRoute,
    Manifests,
    Meta,
    ObjectName,
    Parsed,
    Service,
    ServicePort,
    SliceEndpoint,
    SlicePort,
    WrittenRef,
    manifests_of,
)
from gateway.kube.resolution.endpoints import service_slices
from gateway.schema.spelling import ip_version

CONFIG_ANNOTATION: Final = "aigateway.envoyproxy.io/gateway-config"
_SUFFIX: Final = ".aiservicebackend"
_BACKEND_SUFFIX: Final = ".backend"
_LEADING_ON: Final = frozenset({(AI_GATEWAY_GROUP, "AIServiceBackend"), (ENVOY_GATEWAY_GROUP, "Backend")})
PORT: Final = 80  # of the Service that stands for a backend; its endpoints have their own


def with_ai_gateway(manifests: Manifests) -> Manifests:
    """The same objects with those that Envoy AI Gateway's stand for."""
    if not manifests.ai_routes and not manifests.ai_backends and not manifests.backends:
        return manifests
    present = (each for by_name in manifests.by_kind() for each in by_name.values())
    return manifests_of(
        (*present, *_gateways(manifests), *_routes(manifests), *_services(manifests), *_plain_services(manifests))
    )


def _gateways(manifests: Manifests) -> Iterator[Gateway]:
    """Those whose annotation names a GatewayConfig of their namespace."""
    for name, found in manifests.gateways.items():
        config = manifests.gateway_configs.get(
            ObjectName(name.namespace, found.meta.annotations.get(CONFIG_ANNOTATION, ""))
        )
        if config is not None:
            yield replace(found, costs=config.costs)


def _routes(manifests: Manifests) -> Iterator[HTTPRoute]:
    for name, found in manifests.ai_routes.items():
        if name not in manifests.routes:
            yield _leading_on(found.route, (AI_GATEWAY_GROUP, "AIGatewayRoute"), manifests)
    for route in manifests.routes.values():
        if any((ref.group, ref.kind) in _LEADING_ON for rule in route.rules for ref in rule.backends):
            yield _leading_on(route, (GATEWAY_GROUP, "HTTPRoute"), manifests)


def _leading_on(route: HTTPRoute, by: tuple[str, str], manifests: Manifests) -> HTTPRoute:
    """A route whose references stand for what they lead to."""
    rules = (
        replace(rule, backends=tuple(_reached(ref, by, manifests) for ref in rule.backends)) for rule in route.rules
    )
    return replace(route, rules=tuple(rules))


def _reached(ref: BackendRef, by: tuple[str, str], manifests: Manifests) -> BackendRef:
    """What a reference leads to, to an AIServiceBackend or a Backend: a Service that stands for it, or a pool."""
    written = WrittenRef(*by, ref.group, ref.kind, ref.id)
    ref = replace(ref, written=written, priority=ref.priority + int(_is_fallback(ref, manifests)))
    if ref.kind == "Backend":
        return replace(ref, group="", kind="Service", id=_standing_for(ref.id, _BACKEND_SUFFIX), port=PORT)
    if ref.kind != "AIServiceBackend":
        return ref
    found = manifests.ai_backends.get(ref.id)
    if found is not None and found.backend.is_pool:
        changes = found.changes.then(ref.changes)
        return replace(ref, group=found.backend.group, kind="InferencePool", id=found.backend.id, changes=changes)
    return replace(ref, group="", kind="Service", id=service_name(ref.id), port=PORT)


def _is_fallback(ref: BackendRef, manifests: Manifests) -> bool:
    """Whether a reference leads to a Backend that is for what others could not serve."""
    through = manifests.ai_backends.get(ref.id) if ref.kind == "AIServiceBackend" else None
    named = through.backend if through is not None else ref
    backend = manifests.backends.get(named.id) if named.kind == "Backend" else None
    return backend is not None and backend.is_fallback


def service_name(backend: ObjectName) -> ObjectName:
    """A name that no Service can have, since those hold no dot."""
    return _standing_for(backend, _SUFFIX)


def _standing_for(backend: ObjectName, suffix: str) -> ObjectName:
    return ObjectName(backend.namespace, f"{backend.name}{suffix}")


def backend_name(service: ObjectName) -> ObjectName | None:
    """The AIServiceBackend that a Service stands for; None for a Service as any other."""
    return _stood_for(service, _SUFFIX)


def plain_backend_name(service: ObjectName) -> ObjectName | None:
    """The Backend that it stands for."""
    return _stood_for(service, _BACKEND_SUFFIX)


def _stood_for(service: ObjectName, suffix: str) -> ObjectName | None:
    name = service.name.removesuffix(suffix)
    return ObjectName(service.namespace, name) if name != service.name else None


def _plain_services(manifests: Manifests) -> Iterator[Parsed]:
    """Those of Backends to which an HTTPRoute leads by itself."""
    refs = (ref for route in manifests.routes.values() for rule in route.rules for ref in rule.backends)
    wanted = {ref.id for ref in refs if (ref.group, ref.kind) == (ENVOY_GATEWAY_GROUP, "Backend")}
    for name in sorted(wanted & manifests.backends.keys()):
        found = manifests.backends[name]
        service = _standing_for(name, _BACKEND_SUFFIX)
        meta = Meta(id=service, labels={}, annotations={}, created="", place=found.meta.place)
        yield Service(meta, "ClusterIP", (ServicePort("", PORT, None, ""),))
        for index, endpoint in enumerate(found.endpoints):
            own = ObjectName(name.namespace, f"{service.name}-{index}")
            labelled = replace(meta, id=own, labels={SERVICE_NAME_LABEL: service.name})
            yield replace(_piece(meta, endpoint), meta=labelled)


def _services(manifests: Manifests) -> Iterator[Parsed]:
    for name, found in manifests.ai_backends.items():
        if found.backend.is_pool:
            continue
        service = service_name(name)
        meta = Meta(id=service, labels={}, annotations={}, created="", place=found.meta.place)
        yield Service(meta, "ClusterIP", (ServicePort("", PORT, None, ""),))
        # Of another API than OpenAI's there are endpoints, and none of them belongs to a pool.
        selected = found.meta.labels if found.schema == SERVED_SCHEMA else {}
        for index, piece in enumerate(_pieces(found, manifests)):
            labels: Mapping[str, str] = {**selected, SERVICE_NAME_LABEL: service.name}
            own = replace(meta, id=ObjectName(name.namespace, f"{service.name}-{index}"), labels=labels)
            yield replace(piece, meta=own)


def _pieces(found: AIServiceBackend, manifests: Manifests) -> Iterator[EndpointSlice]:
    backend = manifests.backends.get(found.backend.id) if found.backend.kind == "Backend" else None
    if backend is not None:
        yield from (_piece(found.meta, endpoint) for endpoint in backend.endpoints)
    elif found.backend.is_service:
        yield from service_slices(manifests, *found.backend.id)


def _piece(meta: Meta, endpoint: BackendEndpoint) -> EndpointSlice:
    version = None if endpoint.is_name else ip_version(endpoint.host)
    kind = {4: AddressType.IPV4, 6: AddressType.IPV6}.get(version or 0, AddressType.FQDN)
    return EndpointSlice(
        meta=meta,
        address_type=kind,
        endpoints=(SliceEndpoint((endpoint.host,), ready=True, name=""),),
        ports=(SlicePort("", endpoint.port),),
    )
