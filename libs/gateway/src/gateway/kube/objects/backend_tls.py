"""The Gateway API's BackendTLSPolicy, and TLS of an Envoy Gateway Backend, which says the same. Pure values."""

from dataclasses import dataclass

from gateway.kube.objects.gateway_api import CertificateRef
from gateway.kube.objects.meta import Meta
from gateway.kube.objects.policies import PolicyTarget


@dataclass(frozen=True, slots=True)
class Validation:
    """What a server's certificate must be. Without `authorities` those of the system count. `is_skipped`: anything."""

    hostname: str
    authorities: tuple[CertificateRef, ...] = ()
    names: tuple[str, ...] = ()  # one of these instead of the host name
    is_skipped: bool = False


@dataclass(frozen=True, slots=True)
class BackendTLSPolicy:
    """The targets are reached by TLS; `section` of one is the name of a port."""

    meta: Meta
    targets: tuple[PolicyTarget, ...]
    validation: Validation
