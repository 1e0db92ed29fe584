"""Transport sockets of clusters: TLS to an endpoint picker as an Istio DestinationRule orders it. Pure."""

from typing import Final

from controlplane.xds.resources.names import Tree, typed
from gateway.kube.objects import TlsSettings

SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"


def tls(settings: TlsSettings, hostname: str) -> Tree:
    """The socket. `insecureSkipVerify` accepts the self-signed certificate that pickers have."""
    if settings.insecure_skip_verify:
        validation: Tree = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    else:
        validation = {"trusted_ca": {"filename": settings.ca_certificates or SYSTEM_CA}}
        if settings.subject_alt_names:
            validation["match_typed_subject_alt_names"] = [
                {"san_type": "DNS", "matcher": {"exact": name}} for name in settings.subject_alt_names
            ]
    context: Tree = {"alpn_protocols": ["h2"], "validation_context": validation}
    if settings.client_certificate:
        context["tls_certificates"] = [
            {
                "certificate_chain": {"filename": settings.client_certificate},
                "private_key": {"filename": settings.private_key},
            }
        ]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=settings.sni or hostname,
            common_tls_context=context,
        ),
    }
