"""How the endpoints of this process are asked for metrics and models, as the configuration says it."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from epp.config.engines import EngineMapping
from epp.domain import Endpoint
from gateway.service import logs

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Secure:
    """How to ask over TLS. Without `ca` the system's authorities are trusted; a client certificate needs both files."""

    verifies: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""


Place = tuple[int, Secure | None]


@dataclass(frozen=True, slots=True)
class Access:
    """Paths, ports and schemes. Where one connection serves both questions, it is used for both."""

    engine_of: Callable[[Mapping[str, str]], EngineMapping]  # by an endpoint's labels
    metrics_path: str = "/metrics"
    metrics_port: int = 0  # 0: the endpoint's own
    models_path: str = "/v1/models"
    models_seconds: float = 2.0
    secure: Secure | None = None  # None asks in the clear
    models_secure: Secure | None = None

    @property
    def place(self) -> Place:
        """Where connections for metrics lead, and how."""
        return (self.metrics_port, self.secure)

    def port(self, endpoint: Endpoint) -> int:
        """The port for metrics."""
        return self.metrics_port or endpoint.port

    def is_one_place(self, endpoint: Endpoint) -> bool:
        """Whether the connection for metrics also leads to the list of models."""
        return self.secure == self.models_secure and self.metrics_port in (0, endpoint.port)


def tls(secure: Secure | None) -> ssl.SSLContext | None:
    """The context for one of them; None in the clear. Files that cannot be read are reported, and do without."""
    if secure is None:
        return None
    context = ssl.create_default_context()
    if not secure.verifies:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        if secure.ca:
            context.load_verify_locations(secure.ca)
        if secure.certificate:
            context.load_cert_chain(secure.certificate, secure.key or None)
    except OSError as error:  # an ssl.SSLError is one, too
        log.error("certificates for scrapes cannot be read; endpoints are asked without", error=str(error))
    return context
