"""How the endpoints of this process are asked for metrics and models, as the configuration says it."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from epp.config.engines import EngineMapping
from epp.domain import Endpoint

Place = tuple[int, bool, bool]


@dataclass(frozen=True, slots=True)
class Access:
    """Paths, ports and schemes. Where one connection serves both questions, it is used for both."""

    engine_of: Callable[[Mapping[str, str]], EngineMapping]  # by an endpoint's labels
    metrics_path: str = "/metrics"
    metrics_port: int = 0  # 0: the endpoint's own
    models_path: str = "/v1/models"
    models_seconds: float = 2.0
    is_https: bool = False
    verifies: bool = False
    models_https: bool = False
    models_verifies: bool = False

    @property
    def place(self) -> Place:
        """Where connections for metrics lead, and how."""
        return (self.metrics_port, self.is_https, self.verifies)

    def port(self, endpoint: Endpoint) -> int:
        """The port for metrics."""
        return self.metrics_port or endpoint.port

    def is_one_place(self, endpoint: Endpoint) -> bool:
        """Whether the connection for metrics also leads to the list of models."""
        is_same_scheme = self.is_https == self.models_https
        is_as_strict = not self.is_https or self.verifies == self.models_verifies
        return is_same_scheme and is_as_strict and self.metrics_port in (0, endpoint.port)


def tls(*, is_https: bool, verifies: bool) -> ssl.SSLContext | None:
    """The context for one of them; None in the clear."""
    if not is_https:
        return None
    context = ssl.create_default_context()
    if not verifies:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
