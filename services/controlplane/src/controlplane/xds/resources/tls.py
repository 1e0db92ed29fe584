"""Transport sockets of clusters: TLS to a backend or an endpoint picker. Pure."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from controlplane.options import Options
from controlplane.plan.backend_tls import BackendTls
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, typed
from controlplane.xds.resources.sources import config_source

SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"


def tls(wanted: BackendTls, protocols: Sequence[str], options: Options) -> Tree:
    """The socket, which offers these protocols to the server."""
    context: Tree = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": list(protocols),
        "validation_context": _validation(wanted),
    }
    if wanted.certificate is not None:
        name = names.secret(wanted.certificate.id)
        config = {"name": name, "sds_config": config_source(names.SECRET_TYPE, name, options)}
        context["tls_certificate_sds_secret_configs"] = [config]
    elif wanted.certificate_files is not None:
        chain, key = wanted.certificate_files
        context["tls_certificates"] = [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({"sni": wanted.server_name} if wanted.server_name else {}),
            common_tls_context=context,
        ),
    }


def _validation(wanted: BackendTls) -> Tree:
    if not wanted.is_verified:
        return {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    authorities: Tree = {"filename": wanted.authorities_file or SYSTEM_CA}
    if wanted.authorities:
        authorities = {"inline_bytes": b64encode(wanted.authorities).decode()}
    found: Tree = {"trusted_ca": authorities}
    if wanted.names:
        found["match_typed_subject_alt_names"] = [
            {"san_type": "URI" if "://" in name else "DNS", "matcher": {"exact": name}} for name in wanted.names
        ]
    return found
