"""Istio's DestinationRule, as far as it is acted on. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.kube.objects.meta import Meta


class TlsMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificates are files that Envoy sees, or in the Secret `credential_name`."""

    mode: TlsMode
    insecure_skip_verify: bool
    sni: str
    ca_certificates: str
    client_certificate: str
    private_key: str
    subject_alt_names: tuple[str, ...]
    credential_name: str = ""


class Balancer(StrEnum):
    """The simple load balancers of Istio that are served."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"


class HashedBy(StrEnum):
    """What of a request decides which endpoint it goes to."""

    HEADER = "header"
    COOKIE = "cookie"
    QUERY_PARAMETER = "query parameter"
    SOURCE_IP = "source address"


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """`name` is that of the header, cookie or parameter. A cookie with a lifetime (seconds, 0 for the session) is set
    where a client brings none. `table_size` 0: a ring of `least_ring_size`; else Maglev's table."""

    by: HashedBy
    name: str = ""
    cookie_path: str = ""
    cookie_lifetime: float | None = None
    least_ring_size: int = 1024
    table_size: int = 0


@dataclass(frozen=True, slots=True)
class Ejection:
    """Outlier detection. Seconds and percent; None: not written, 0 errors: never."""

    consecutive_5xx: int | None = None
    consecutive_gateway_errors: int | None = None
    interval: float | None = None
    base_time: float | None = None
    max_percent: int | None = None


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """How to speak to a Service: TLS, limits on connections, balancing. Seconds; None: not written."""

    tls: TlsSettings | None = None
    connect_timeout: float | None = None
    max_connections: int | None = None
    max_pending: int | None = None
    max_requests: int | None = None
    requests_per_connection: int | None = None
    idle_timeout: float | None = None
    ejection: Ejection | None = None
    balancer: Balancer | ConsistentHash | None = None


@dataclass(frozen=True, slots=True)
class DestinationRule:
    """`ports` holds the policies of single ports, each of which stands instead of `policy`."""

    meta: Meta
    host: str
    policy: TrafficPolicy = TrafficPolicy()
    ports: Mapping[int, TrafficPolicy] = field(default_factory=dict)

    def at(self, port: int) -> TrafficPolicy:
        """The policy of a port."""
        return self.ports.get(port, self.policy)
