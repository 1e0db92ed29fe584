"""Documents become objects: one function per kind, in the words of its API.

Pure. Checks what the API server would check (types, required fields, ranges, the CEL rules); whether references lead
anywhere is the control plane's business, since Kubernetes accepts such objects too and says so in their status.
"""

import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.kube import adapters
from gateway.kube.objects import (
    GATEWAY_GROUP,
    INFERENCE_GROUP,
    INFERENCE_X_GROUP,
    LLM_D_GROUP,
    PICKER_PORT_DEFAULT,
    AddressType,
    ConfigMap,
    Criticality,
    DestinationRule,
    EndpointSlice,
    FailureMode,
    Gateway,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    LabelSelector,
    Listener,
    Meta,
    ModelRewriteRule,
    ModelTarget,
    Namespace,
    NamespacesFrom,
    ObjectName,
    Parsed,
    PickerRef,
    ReferenceGrant,
    ReferencePeer,
    Service,
    ServicePort,
    SliceEndpoint,
    SlicePort,
    TlsMode,
    TlsSettings,
)
from gateway.kube.reading_routes import http_route
from gateway.schema import spelling
from gateway.schema.documents import Document, what
from gateway.schema.fields import Fields, Findings

MAX_PORT: Final = 65535
MAX_WEIGHT: Final = 1_000_000
INT32: Final = 2**31 - 1

# Kinds that a cluster's folder holds beside ours. They are accepted without effect.
IGNORED_KINDS: Final = frozenset(
    [
        "AuthorizationPolicy",
        "Binding",
        "ClusterRole",
        "ClusterRoleBinding",
        "CronJob",
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "EndpointPickerConfig",
        "Endpoints",
        "EnvoyFilter",
        "Event",
        "GatewayClass",
        "GCPBackendPolicy",
        "GRPCRoute",
        "HealthCheckPolicy",
        "HelmRelease",
        "HorizontalPodAutoscaler",
        "InferencePoolImport",
        "Ingress",
        "Job",
        "Kustomization",
        "Lease",
        "LimitRange",
        "MutatingWebhookConfiguration",
        "NetworkPolicy",
        "Node",
        "OCIRepository",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "PodMonitor",
        "PodMonitoring",
        "PriorityClass",
        "PrometheusRule",
        "ReplicaSet",
        "ResourceQuota",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
        "StorageClass",
        "Telemetry",
        "ValidatingWebhookConfiguration",
        "Workspace",
    ]
)


def read(document: Document, findings: Findings) -> Parsed | None:
    """The object of a document; None for a kind without effect here, and for one that cannot be read at all."""
    reader = READERS.get((document.group, document.kind))
    if reader is None:
        if document.kind not in IGNORED_KINDS:
            findings.notes.append(document.problem("kind", f"unknown kind {document.kind} of {document.api_version}"))
        return None
    if not document.name:
        findings.problems.append(document.problem("metadata.name", "required"))
        return None
    for key, name in (("name", document.name), ("namespace", document.namespace)):
        if not spelling.is_name(name):
            findings.problems.append(document.problem(f"metadata.{key}", f"not a name: {what(name)}"))
    meta = Meta(
        id=ObjectName(document.namespace, document.name),
        labels=document.labels,
        annotations=document.annotations,
        created=_created(document),
        file=document.file,
        line=document.line(),
    )
    return reader(meta, Fields(document, document.body, "", findings))


def _created(document: Document) -> str:
    metadata = document.body.get("metadata")
    return str(metadata.get("creationTimestamp") or "") if isinstance(metadata, Mapping) else ""


def _spec(top: Fields) -> Fields:
    for key in ("apiVersion", "kind", "metadata", "status"):
        top.has(key)
    spec = top.child("spec", required=True)
    top.done()
    return spec or top


def _namespace(meta: Meta, _top: Fields) -> Namespace:
    return Namespace(meta)


def _gateway(meta: Meta, top: Fields) -> Gateway:
    spec = _spec(top)
    for key in ("addresses", "infrastructure", "backendTLS", "allowedListeners", "tls", "defaultScope"):
        spec.ignored(key, "without effect here")
    listeners = tuple(_listener(item) for item in spec.children("listeners", 64, least=1))
    names = [listener.name for listener in listeners]
    if len(set(names)) != len(names):
        spec.problem("listeners", "listener names must be unique")
    if len({(listener.port, listener.protocol, listener.hostname) for listener in listeners}) != len(listeners):
        spec.problem("listeners", "combination of port, protocol and hostname must be unique for each listener")
    gateway = Gateway(meta, spec.text("gatewayClassName", required=True), listeners)
    spec.done()
    return gateway


def _listener(item: Fields) -> Listener:
    allowed = item.child("allowedRoutes")
    namespaces = allowed.child("namespaces") if allowed else None
    selector = namespaces.child("selector") if namespaces else None
    if selector:
        selector.ignored("matchExpressions", "without effect here; use matchLabels")
    item.ignored("tls", "TLS listeners are not served")
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
    )
    item.done()
    if listener.hostname and not spelling.is_hostname(listener.hostname, wildcard=True):
        item.problem("hostname", f"not a host name: {what(listener.hostname)}")
    return listener


def _reference_grant(meta: Meta, top: Fields) -> ReferenceGrant:
    spec = _spec(top)
    return ReferenceGrant(
        meta,
        from_=tuple(
            ReferencePeer(peer.text("group"), peer.text("kind", required=True), peer.text("namespace", required=True))
            for peer in spec.children("from", 16, least=1)
        ),
        to=tuple(
            ReferencePeer(peer.text("group"), peer.text("kind", required=True), name=peer.text("name"))
            for peer in spec.children("to", 16, least=1)
        ),
    )


# --- InferencePool and friends ---------------------------------------------------------------------------------------


def _pool(meta: Meta, top: Fields) -> InferencePool:
    spec = _spec(top)
    selector = spec.child("selector", required=True)
    labels = selector.labels("matchLabels", 64, least=1) if selector else {}
    if selector:
        selector.done()
    ports = tuple(
        item.integer("number", 1, MAX_PORT, required=True) or 0 for item in spec.children("targetPorts", 8, least=1)
    )
    if len(set(ports)) != len(ports):
        spec.problem("targetPorts", "port number must be unique")
    protocol = spec.choice("appProtocol", ("http", "kubernetes.io/h2c"), "http")
    ref = spec.child("endpointPickerRef")
    pool = InferencePool(meta, LabelSelector(labels), ports, protocol != "http", _picker(ref) if ref else None)
    spec.done()
    return pool


def _picker(ref: Fields) -> PickerRef:
    kind = ref.text("kind", "Service")
    port = ref.child("port")
    number = port.integer("number", 1, MAX_PORT, required=True) if port else None
    if port is None and kind == "Service" and not ref.has("port"):
        ref.problem("port", "port is required when kind is 'Service' or unspecified (defaults to 'Service')")
    picker = PickerRef(
        group=ref.text("group"),
        kind=kind,
        name=ref.name("name", required=True),
        port=number or PICKER_PORT_DEFAULT,
        failure_mode=FailureMode(ref.choice("failureMode", tuple(FailureMode), FailureMode.CLOSE)),
    )
    ref.done()
    return picker


def _pool_v1alpha2(meta: Meta, top: Fields) -> InferencePool:
    spec = _spec(top)
    labels = spec.labels("selector", 64, least=1)
    port = spec.integer("targetPortNumber", 1, MAX_PORT, required=True) or 0
    ref = spec.child("extensionRef", required=True)
    picker = _extension(ref) if ref else None
    spec.done()
    return InferencePool(meta, LabelSelector(labels), (port,), h2c=False, picker=picker)


def _extension(ref: Fields) -> PickerRef:
    picker = PickerRef(
        group=ref.text("group"),
        kind=ref.text("kind", "Service"),
        name=ref.name("name", required=True),
        port=ref.integer("portNumber", 1, MAX_PORT, PICKER_PORT_DEFAULT) or PICKER_PORT_DEFAULT,
        failure_mode=FailureMode(ref.choice("failureMode", tuple(FailureMode), FailureMode.CLOSE)),
    )
    ref.done()
    return picker


def _pool_ref(meta: Meta, spec: Fields) -> ObjectName:
    ref = spec.child("poolRef", required=True)
    if ref is None:
        return ObjectName(meta.id.namespace, "")
    ref.choice("group", (INFERENCE_GROUP, INFERENCE_X_GROUP), INFERENCE_GROUP)
    ref.choice("kind", ("InferencePool",), "InferencePool")
    name = ObjectName(meta.id.namespace, ref.name("name", required=True))
    ref.done()
    return name


def _objective(meta: Meta, top: Fields) -> InferenceObjective:
    spec = _spec(top)
    objective = InferenceObjective(meta, _pool_ref(meta, spec), spec.integer("priority", -INT32, INT32, 0) or 0)
    spec.done()
    return objective


def _rewrite(meta: Meta, top: Fields) -> InferenceModelRewrite:
    spec = _spec(top)
    rules = tuple(_rewrite_rule(rule) for rule in spec.children("rules", 1024, least=1))
    rewrite = InferenceModelRewrite(meta, _pool_ref(meta, spec), rules)
    spec.done()
    return rewrite


def _rewrite_rule(rule: Fields) -> ModelRewriteRule:
    models: list[str] = []
    for match in rule.children("matches", 1024):
        model = match.child("model", required=True)
        if model:
            model.choice("type", ("Exact",), "Exact")
            models.append(model.text("value", required=True))
            model.done()
        match.done()
    targets = tuple(_target(item, "modelRewrite") for item in rule.children("targets", 1024, least=1))
    rule.done()
    return ModelRewriteRule(tuple(models), targets)


def _target(item: Fields, key: str) -> ModelTarget:
    target = ModelTarget(item.text(key, required=True, longest=256), item.integer("weight", 1, MAX_WEIGHT))
    item.done()
    return target


def _model(meta: Meta, top: Fields) -> InferenceModel:
    spec = _spec(top)
    targets = tuple(_target(item, "name") for item in spec.children("targetModels", 10))
    if len({target.weight is None for target in targets}) > 1:
        spec.problem("targetModels", "weights must be set for all, or none, of the models")
    criticality = (
        spec.choice("criticality", tuple(Criticality), Criticality.STANDARD) if spec.has("criticality") else None
    )
    model = InferenceModel(
        meta=meta,
        pool=_pool_ref(meta, spec),
        model_name=spec.text("modelName", required=True, longest=256),
        criticality=Criticality(criticality) if criticality else None,
        targets=targets,
    )
    spec.done()
    return model


# --- Kubernetes core and Istio: read for a few fields, lenient about the others ----------


def _slice(meta: Meta, top: Fields) -> EndpointSlice:
    kind = AddressType(top.choice("addressType", tuple(AddressType), AddressType.IPV4))
    if not top.has("addressType"):
        top.problem("addressType", "required")
    return EndpointSlice(
        meta=meta,
        address_type=kind,
        endpoints=tuple(_slice_endpoint(item, kind) for item in top.children("endpoints", 1000)),
        ports=tuple(
            SlicePort(item.text("name"), item.integer("port", 1, MAX_PORT, required=True) or 0)
            for item in top.children("ports", 100)
        ),
    )


def _slice_endpoint(item: Fields, kind: AddressType) -> SliceEndpoint:
    addresses = item.texts("addresses", 100, least=1)
    for index, address in enumerate(addresses):
        if not _is_address(address, kind):
            item.problem(f"addresses[{index}]", f"expected an {kind} address, got {what(address)}")
    conditions, target = item.child("conditions"), item.child("targetRef")
    ready = conditions.boolean("ready", default=True) if conditions else True
    name = target.text("name") if target else ""
    return SliceEndpoint(addresses, ready is not False, name or item.text("hostname"))


def _is_address(text: str, kind: AddressType) -> bool:
    if kind is AddressType.FQDN:
        return 0 < len(text) <= 253 and not any(character.isspace() or character in "/:[]" for character in text)
    try:
        return ipaddress.ip_address(text).version == (4 if kind is AddressType.IPV4 else 6)
    except ValueError:
        return False


def _service(meta: Meta, top: Fields) -> Service:
    spec = top.child("spec", required=True) or top
    return Service(
        meta, spec.text("type", "ClusterIP"), tuple(_service_port(item) for item in spec.children("ports", 100))
    )


def _service_port(item: Fields) -> ServicePort:
    target = item.raw("targetPort")
    if not isinstance(target, int | str | None) or isinstance(target, bool):
        item.problem("targetPort", f"expected a port number or name, got {what(target)}")
        target = None
    port = item.integer("port", 1, MAX_PORT, required=True) or 0
    return ServicePort(item.text("name"), port, target, item.text("appProtocol"))


def _config_map(meta: Meta, top: Fields) -> ConfigMap:
    data = top.strings("data")
    if adapters.is_managed(meta.labels):
        for key, fault in adapters.faults(data).items():
            top.problem(f"data.{key}", fault)
    return ConfigMap(meta, data)


def _destination_rule(meta: Meta, top: Fields) -> DestinationRule:
    spec = _spec(top)
    for key in ("subsets", "exportTo", "workloadSelector"):
        spec.ignored(key, "without effect here")
    host = spec.text("host", required=True)
    policy = spec.child("trafficPolicy")
    spec.done()
    if policy is None:
        return DestinationRule(meta, host, None, None, None)
    for key in ("loadBalancer", "outlierDetection", "portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"):
        policy.ignored(key, "without effect here")
    tls, limits = policy.child("tls"), policy.child("connectionPool")
    tcp, http = (limits.child("tcp"), limits.child("http")) if limits else (None, None)
    policy.done()
    return DestinationRule(
        meta=meta,
        host=host,
        tls=_tls(tls) if tls else None,
        connect_timeout=tcp.duration("connectTimeout") if tcp else None,
        max_requests=http.integer("http2MaxRequests", 1, INT32) if http else None,
    )


def _tls(tls: Fields) -> TlsSettings:
    for key in ("credentialName", "caCrl"):
        tls.ignored(key, "without effect here; give file paths")
    settings = TlsSettings(
        mode=TlsMode(tls.choice("mode", tuple(TlsMode), TlsMode.DISABLE)),
        insecure_skip_verify=tls.boolean("insecureSkipVerify", default=False) is True,
        sni=tls.text("sni"),
        ca_certificates=tls.text("caCertificates"),
        client_certificate=tls.text("clientCertificate"),
        private_key=tls.text("privateKey"),
        subject_alt_names=tls.texts("subjectAltNames", 64),
    )
    if settings.mode is TlsMode.MUTUAL and not (settings.client_certificate and settings.private_key):
        tls.problem("mode", "MUTUAL needs clientCertificate and privateKey")
    if settings.mode is TlsMode.ISTIO_MUTUAL:
        tls.problem("mode", "ISTIO_MUTUAL needs Istio's certificates; use SIMPLE or MUTUAL")
    tls.done()
    return settings


READERS: Final[Mapping[tuple[str, str], Callable[[Meta, Fields], Parsed]]] = MappingProxyType(
    {
        ("", "Namespace"): _namespace,
        (GATEWAY_GROUP, "Gateway"): _gateway,
        (GATEWAY_GROUP, "HTTPRoute"): http_route,
        (GATEWAY_GROUP, "ReferenceGrant"): _reference_grant,
        (INFERENCE_GROUP, "InferencePool"): _pool,
        (INFERENCE_X_GROUP, "InferencePool"): _pool_v1alpha2,
        (INFERENCE_X_GROUP, "InferenceObjective"): _objective,
        (INFERENCE_X_GROUP, "InferenceModelRewrite"): _rewrite,
        (LLM_D_GROUP, "InferenceObjective"): _objective,
        (LLM_D_GROUP, "InferenceModelRewrite"): _rewrite,
        (INFERENCE_X_GROUP, "InferenceModel"): _model,
        ("discovery.k8s.io", "EndpointSlice"): _slice,
        ("", "Service"): _service,
        ("", "ConfigMap"): _config_map,
        ("networking.istio.io", "DestinationRule"): _destination_rule,
    }
)
