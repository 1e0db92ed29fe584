"""The files of an Envoy that asks the control plane for everything: its static part, and how it shows who it is. Pure.

Certificates are read again when their folder changes, so that new ones need no restart.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson
import yaml

from controlplane.options import Deployment
from gateway.kube.resolution.endpoints import service_hostname

FILES: Final = "/etc/pointsman"  # where Envoy's Pod has them
CERTIFICATES: Final = "/etc/pointsman-xds"
ADMIN_PORT: Final = 9901
_TYPES: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_FOLDER: Final = Path(__file__).parent / "files"


@cache
def files(deployment: Deployment) -> Mapping[str, str]:
    """By name, for a ConfigMap: `envoy -c bootstrap.json`, run by `run`, which waits for answers in flight. Every
    Gateway has the same."""
    return MappingProxyType(
        {
            "bootstrap.json": orjson.dumps(_bootstrap(deployment), option=orjson.OPT_INDENT_2).decode(),
            "certificate.json": orjson.dumps({"resources": [_certificate()]}, option=orjson.OPT_INDENT_2).decode(),
            "run": _text("run"),
        }
    )


def _bootstrap(deployment: Deployment) -> dict[str, Any]:
    """The project's own, but for who the Envoy is (which its command line says) and where it asks."""
    found: dict[str, Any] = yaml.safe_load(_text("bootstrap.yaml"))
    del found["node"]
    for config in ("cds_config", "lds_config"):  # by default an Envoy is ready after 15 s also without an answer
        found["dynamic_resources"][config]["initial_fetch_timeout"] = "0s"
    (cluster,) = found["static_resources"]["clusters"]
    host = service_hostname(*deployment.control_plane)
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": deployment.port}
    cluster["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "tls_certificate_sds_secret_configs": [
                    {"name": "xds", "sds_config": {"path_config_source": {"path": f"{FILES}/certificate.json"}}}
                ],
                "validation_context": {
                    "trusted_ca": {"filename": f"{CERTIFICATES}/ca.crt"},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
                },
            },
        },
    }
    return found


def _certificate() -> dict[str, Any]:
    return {
        "@type": f"{_TYPES}.Secret",
        "name": "xds",
        "tls_certificate": {
            "certificate_chain": {"filename": f"{CERTIFICATES}/tls.crt"},
            "private_key": {"filename": f"{CERTIFICATES}/tls.key"},
            "watched_directory": {"path": CERTIFICATES},
        },
    }


def _text(name: str) -> str:
    return (_FOLDER / name).read_text()
