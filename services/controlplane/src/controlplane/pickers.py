"""Which endpoint picker each pool asks, where it is, and how it is spoken to. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controlplane import names
from controlplane.options import Options, PickerTransport
from controlplane.status import Condition
from gateway.manifests.endpoints import Addresses, HostPort, service_endpoints, service_hostname
from gateway.manifests.objects import DestinationRule, InferencePool, Manifests, ObjectName

TRANSPORT_ANNOTATION = "pointsman.dev/picker"
HTTP_PORT_ANNOTATION = "pointsman.dev/picker-http-port"


@dataclass(frozen=True, slots=True)
class Picker:
    """The gRPC door of one pool's picker."""

    service: ObjectName
    port: int
    endpoints: tuple[HostPort, ...]
    rule: DestinationRule | None
    transport: PickerTransport
    reason: str

    @property
    def cluster(self) -> str:
        return names.picker_cluster(self.service, self.port)

    @property
    def hostname(self) -> str:
        return service_hostname(self.service.namespace, self.service.name)


def pickers(manifests: Manifests, addresses: Addresses, options: Options) -> Mapping[ObjectName, Picker]:
    """The picker of every pool whose reference leads somewhere."""
    found = ((pool.meta.id, picker(pool, manifests, addresses, options)) for pool in manifests.pools.values())
    return {pool: result for pool, result in sorted(found) if isinstance(result, Picker)}


def picker(
    pool: InferencePool, manifests: Manifests, addresses: Addresses, _options: Options
) -> Picker | Condition | None:
    """The pool's picker; a condition when its reference leads nowhere; None when it has no reference."""
    ref = pool.picker
    if ref is None:
        return None
    service = ObjectName(pool.meta.id.namespace, ref.name)
    if ref.kind != "Service" or ref.group:
        return Condition("ResolvedRefs", False, "InvalidExtensionRef", f"{ref.kind} {service} is no Service")
    endpoints = service_endpoints(manifests, *service, ref.port, addresses)
    if service not in manifests.services and not endpoints:
        return Condition("ResolvedRefs", False, "InvalidExtensionRef", f"no Service {service}, and no address of it")
    if service in manifests.services and manifests.services[service].type == "ExternalName":
        return Condition("ResolvedRefs", False, "InvalidExtensionRef", f"Service {service} is an ExternalName")
    rule = next(_rules(manifests, service), None)
    return Picker(service, ref.port, endpoints, rule, PickerTransport.EXT_PROC, "configured")


def _rules(manifests: Manifests, service: ObjectName) -> Iterator[DestinationRule]:
    """DestinationRules whose host is the Service, in any of the ways that Istio lets one write it."""
    full = service_hostname(*service)
    for name, rule in sorted(manifests.destination_rules.items()):
        local = rule.host == service.name and name.namespace == service.namespace
        if local or rule.host in (f"{service.name}.{service.namespace}", full, f"{full}.cluster.local"):
            yield rule
