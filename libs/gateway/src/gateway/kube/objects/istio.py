"""Istio's DestinationRule, as far as it is acted on. Pure values."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.kube.objects.meta import Meta


class TlsMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    mode: TlsMode
    insecure_skip_verify: bool
    sni: str
    ca_certificates: str
    client_certificate: str
    private_key: str
    subject_alt_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DestinationRule:
    """The part of Istio's kind that says how to speak to an endpoint picker: TLS and connection limits."""

    meta: Meta
    host: str
    tls: TlsSettings | None
    connect_timeout: float | None
    max_requests: int | None
