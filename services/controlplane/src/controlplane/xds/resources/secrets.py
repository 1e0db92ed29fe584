"""Certificates of listeners as Envoy's secrets, and the sockets that use them. Pure."""

from base64 import b64encode
from typing import Final

from controlplane.options import Options
from controlplane.plan.certificates import Certificate
from controlplane.plan.credentials import Credential
from controlplane.plan.listeners import TlsHost
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, typed
from controlplane.xds.resources.sources import config_source

PROTOCOLS: Final = ("h2", "http/1.1")


def secret(found: Certificate) -> Tree:
    """A certificate with its key as a resource."""
    chain, key = (b64encode(text).decode() for text in (found.chain, found.key))
    return names.resource(
        names.SECRET_TYPE,
        name=names.secret(found.id),
        tls_certificate={"certificate_chain": {"inline_bytes": chain}, "private_key": {"inline_bytes": key}},
    )


def key(found: Credential) -> Tree:
    """The header's value that a backend wants, as a resource."""
    text = b64encode(found.value).decode()
    return names.resource(
        names.SECRET_TYPE, name=names.credential(found), generic_secret={"secret": {"inline_bytes": text}}
    )


def socket(host: TlsHost, options: Options) -> Tree:
    """TLS 1.2 or newer with the certificates of a host, which are taken over anew whenever they change."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": list(PROTOCOLS),
                "tls_certificate_sds_secret_configs": [_config(each, options) for each in host.certificates],
            },
        ),
    }


def _config(found: Certificate, options: Options) -> Tree:
    name = names.secret(found.id)
    return {"name": name, "sds_config": config_source(names.SECRET_TYPE, name, options)}
