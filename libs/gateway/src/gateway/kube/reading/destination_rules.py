"""Istio's DestinationRule is read for how a Service is spoken to: TLS, connection limits, ejection, balancing. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.kube.objects import (
    Balancer,
    ConsistentHash,
    DestinationRule,
    Ejection,
    HashedBy,
    Meta,
    TlsMode,
    TlsSettings,
    TrafficPolicy,
)
from gateway.kube.reading.parts import INT32, MAX_PORT, spec_of
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

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
_BALANCER_IGNORED: Final = ("localityLbSetting", "warmup", "warmupDurationSecs")
_HASHED_BY: Final = ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
_LARGEST_RING: Final = 8 * 1024 * 1024  # Envoy's bounds of both
_LARGEST_TABLE: Final = 5_000_011
_USUAL_TABLE: Final = 65_537


def destination_rule(meta: Meta, top: Fields) -> DestinationRule:
    spec = spec_of(top)
    for key in ("exportTo", "workloadSelector"):
        spec.ignored(key, _NOT_SERVED)
    for subset in spec.children("subsets", 4096):
        _subset(subset)
    host = spec.text("host", required=True)
    written = spec.child("trafficPolicy")
    spec.done()
    if written is None:
        return DestinationRule(meta, host)
    policy, ports = _policies(written)
    return DestinationRule(meta, host, policy, ports)


def _policies(written: Fields) -> tuple[TrafficPolicy, Mapping[int, TrafficPolicy]]:
    """A `trafficPolicy`, and those of single ports."""
    for key in ("tunnel", "proxyProtocol", "retryBudget"):
        written.ignored(key, _NOT_SERVED)
    ports = dict(_port(item) for item in written.children("portLevelSettings", 4096))
    policy = _policy(written)
    written.done()
    return policy, ports


def _subset(item: Fields) -> None:
    """What an HTTPRoute cannot refer to."""
    item.at("").note("without effect here: no route of the Gateway API refers to a subset")
    item.text("name", required=True)
    item.labels("labels", 64)
    policy = item.child("trafficPolicy")
    if policy:
        _policies(policy)
    item.done()


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


def _balancer(item: Fields) -> Balancer | ConsistentHash | None:
    simple, hashed = item.choice("simple", tuple(_BALANCERS), ""), item.child("consistentHash")
    if simple and hashed:
        item.problem("consistentHash", "only one of simple and consistentHash may be written")
    found = _consistent_hash(hashed) if hashed else _BALANCERS[simple]
    _finish(item, _BALANCER_IGNORED)
    return found


def _consistent_hash(item: Fields) -> ConsistentHash:
    written = [key for key in _HASHED_BY if item.has(key)]
    if len(written) != 1:
        item.problem(written[1] if written else "", f"expected one of {', '.join(_HASHED_BY)}")
    ring, maglev = item.child("ringHash"), item.child("maglev")
    if ring and maglev:
        item.problem("maglev", "only one of ringHash and maglev may be written")
    least = (ring or item).integer("minimumRingSize", 0, _LARGEST_RING, 1024) or 1024
    table = (maglev.integer("tableSize", 2, _LARGEST_TABLE, _USUAL_TABLE) or _USUAL_TABLE) if maglev else 0
    if not _is_prime(table):
        item.problem("maglev.tableSize", f"expected a prime number, got {table}")
    by, name, path, lifetime = _hashed_by(item)
    for each in (ring, maglev, item):
        if each:
            each.done()
    return ConsistentHash(by, name, path, lifetime, least, table)


def _is_prime(table: int) -> bool:
    return all(table % divisor for divisor in range(2, int(table**0.5) + 1))


def _hashed_by(item: Fields) -> tuple[HashedBy, str, str, float | None]:
    header, parameter = item.text("httpHeaderName"), item.text("httpQueryParameterName")
    cookie, is_by_source = item.child("httpCookie"), item.boolean("useSourceIp", default=False)
    if cookie:
        found = cookie.text("name", required=True), cookie.one_line("path"), cookie.duration("ttl")
        cookie.done()
        return HashedBy.COOKIE, *found
    if header:
        if not spelling.is_header_name(header):
            item.problem("httpHeaderName", f"not a header name: {what(header)}")
        return HashedBy.HEADER, header, "", None
    if parameter:
        return HashedBy.QUERY_PARAMETER, parameter, "", None
    if not is_by_source and item.has("useSourceIp"):
        item.problem("useSourceIp", "expected true")
    return HashedBy.SOURCE_IP, "", "", None


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
