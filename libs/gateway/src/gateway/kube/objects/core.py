"""Kubernetes' own kinds: Namespace, Service, EndpointSlice, Pod, ConfigMap. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.kube.objects.meta import Meta
from gateway.quotas.rules import Rule
from gateway.tenancy.tenants import TenantList

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"


class AddressType(StrEnum):
    IPV4 = "IPv4"
    IPV6 = "IPv6"
    FQDN = "FQDN"


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    addresses: tuple[str, ...]
    ready: bool
    name: str  # targetRef.name or hostname, else empty


@dataclass(frozen=True, slots=True)
class SlicePort:
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    meta: Meta
    address_type: AddressType
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[SlicePort, ...]


@dataclass(frozen=True, slots=True)
class ServicePort:
    name: str
    port: int
    target_port: int | str | None
    app_protocol: str


@dataclass(frozen=True, slots=True)
class Service:
    """`selector` are labels of its Pods; empty where others write its EndpointSlices. `ingress` are the addresses and
    host names that a load balancer gave it."""

    meta: Meta
    type: str
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str] = field(default_factory=dict)
    cluster_ips: tuple[str, ...] = ()
    ingress: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Namespace:
    meta: Meta


@dataclass(frozen=True, slots=True)
class ContainerPort:
    name: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Pod:
    """`ready` is the Ready condition. A Pod whose `meta.deleted` is set is terminating."""

    meta: Meta
    addresses: tuple[str, ...]  # podIP first, then the others of podIPs
    ready: bool
    ports: tuple[ContainerPort, ...]

    @property
    def serves(self) -> bool:
        """Whether it takes requests."""
        return self.ready and not self.meta.deleted


@dataclass(frozen=True, slots=True)
class ModelNames:
    """A base model, and the adapters that it serves."""

    base: str
    adapters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """`models` is what one labelled for the body-based router says, `quotas` and `tenants` what one labelled for those
    does."""

    meta: Meta
    data: Mapping[str, str]
    models: ModelNames | None = None
    quotas: tuple[Rule, ...] = ()
    tenants: TenantList | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """`data` is decoded. It is no part of the object's text, so that no log shows it."""

    meta: Meta
    type: str
    data: Mapping[str, bytes] = field(repr=False)
