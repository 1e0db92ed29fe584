"""Istio's DestinationRule is read for how an endpoint picker is reached: TLS and connection limits. Pure."""

from gateway.kube.objects import DestinationRule, Meta, TlsMode, TlsSettings
from gateway.kube.reading.parts import INT32, spec_of
from gateway.schema.fields import Fields


def destination_rule(meta: Meta, top: Fields) -> DestinationRule:
    spec = spec_of(top)
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
        insecure_skip_verify=tls.boolean("insecureSkipVerify", default=False),
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
