"""Istio's DestinationRule is read for how a Service is spoken to: TLS, connection limits, ejection, balancing. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.kube.objects import Balancer, DestinationRule, Ejection, Meta, TlsMode, TlsSettings, TrafficPolicy
from gateway.kube.reading.parts import INT32, MAX_PORT, spec_of
from gateway.schema.fields import Fields

# Istio's names of balancers, and what is served for each. LEAST_CONN is its older name, PASSTHROUGH needs no list.
_BALANCERS: Final[Mapping[str, Balancer | None]] = {
    "": None,
    "UNSPECIFIED": None,
    "LEAST_REQUEST": Balancer.LEAST_REQUEST,
    "LEAST_CONN": Balancer.LEAST_REQUEST,
    "ROUND_ROBIN": Balancer.ROUND_ROBIN,
    "RANDOM": Balancer.RANDOM,
    "PASSTHROUGH": None,
}
_NOT_SERVED: Final = "without effect here"
_TCP_IGNORED: Final = ("tcpKeepalive", "maxConnectionDuration", "idleTimeout")
_HTTP_IGNORED: Final = ("h2UpgradePolicy", "maxRetries", "useClientProtocol", "maxConcurrentStreams")
_EJECTION_IGNORED: Final = (
    *("splitExternalLocalOriginErrors", "consecutiveLocalOriginFailures", "minHealthPercent", "consecutiveErrors"),
)
_BALANCER_IGNORED: Final = ("consistentHash", "localityLbSetting", "warmup", "warmupDurationSecs")


def destination_rule(meta: Meta, top: Fields) -> DestinationRule:
    spec = spec_of(top)
    for key in ("subsets", "exportTo", "workloadSelector"):
        spec.ignored(key, _NOT_SERVED)
    host = spec.text("host", required=True)
    written = spec.child("trafficPolicy")
    spec.done()
    if written is None:
        return DestinationRule(meta, host)
    for key in ("tunnel", "proxyProtocol", "retryBudget"):
        written.ignored(key, _NOT_SERVED)
    ports = dict(_port(item) for item in written.children("portLevelSettings", 4096))
    policy = _policy(written)
    written.done()
    return DestinationRule(meta, host, policy, ports)


def _port(item: Fields) -> tuple[int, TrafficPolicy]:
    port = item.child("port", required=True)
    number = port.integer("number", 1, MAX_PORT, required=True) if port else None
    policy = _policy(item)
    item.done()
    return number or 0, policy


def _policy(item: Fields) -> TrafficPolicy:
    tls, pool = item.child("tls"), item.child("connectionPool")
    ejection, balancer = item.child("outlierDetection"), item.child("loadBalancer")
    tcp, http = (pool.child("tcp"), pool.child("http")) if pool else (None, None)
    policy = TrafficPolicy(
        tls=_tls(tls) if tls else None,
        connect_timeout=tcp.duration("connectTimeout") if tcp else None,
        max_connections=tcp.integer("maxConnections", 1, INT32) if tcp else None,
        max_pending=http.integer("http1MaxPendingRequests", 1, INT32) if http else None,
        max_requests=http.integer("http2MaxRequests", 1, INT32) if http else None,
        requests_per_connection=http.integer("maxRequestsPerConnection", 0, 2**29) if http else None,
        idle_timeout=http.duration("idleTimeout") if http else None,
        ejection=_ejection(ejection) if ejection else None,
        balancer=_balancer(balancer) if balancer else None,
    )
    for each, ignored in ((pool, ()), (tcp, _TCP_IGNORED), (http, _HTTP_IGNORED)):
        if each:
            _finish(each, ignored)
    return policy


def _finish(item: Fields, ignored: Sequence[str]) -> None:
    for key in ignored:
        item.ignored(key, _NOT_SERVED)
    item.done()


def _ejection(item: Fields) -> Ejection:
    found = Ejection(
        consecutive_5xx=item.integer("consecutive5xxErrors", 0, INT32),
        consecutive_gateway_errors=item.integer("consecutiveGatewayErrors", 0, INT32),
        interval=item.duration("interval"),
        base_time=item.duration("baseEjectionTime"),
        max_percent=item.integer("maxEjectionPercent", 0, 100),
    )
    _finish(item, _EJECTION_IGNORED)
    return found


def _balancer(item: Fields) -> Balancer | None:
    simple = item.choice("simple", tuple(_BALANCERS), "")
    _finish(item, _BALANCER_IGNORED)
    return _BALANCERS[simple]


def _tls(tls: Fields) -> TlsSettings:
    tls.ignored("caCrl", _NOT_SERVED)
    settings = TlsSettings(
        mode=TlsMode(tls.choice("mode", tuple(TlsMode), TlsMode.DISABLE)),
        insecure_skip_verify=tls.boolean("insecureSkipVerify", default=False),
        sni=tls.text("sni"),
        ca_certificates=tls.text("caCertificates"),
        client_certificate=tls.text("clientCertificate"),
        private_key=tls.text("privateKey"),
        subject_alt_names=tls.texts("subjectAltNames", 64),
        credential_name=tls.name("credentialName"),
    )
    has_files = settings.client_certificate and settings.private_key
    if settings.mode is TlsMode.MUTUAL and not (has_files or settings.credential_name):
        tls.problem("mode", "MUTUAL needs clientCertificate and privateKey, or credentialName")
    if settings.mode is TlsMode.ISTIO_MUTUAL:
        tls.problem("mode", "ISTIO_MUTUAL needs Istio's certificates; use SIMPLE or MUTUAL")
    tls.done()
    return settings
