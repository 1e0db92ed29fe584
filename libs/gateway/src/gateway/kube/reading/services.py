"""A Service is read for its type, ports, selector and addresses, lenient about other fields. Pure."""

from collections.abc import Iterator, Mapping

from gateway.kube.objects import Meta, Service, ServicePort
from gateway.kube.reading.parts import MAX_PORT
from gateway.schema.fields import Fields
from gateway.schema.wording import what


def service(meta: Meta, top: Fields) -> Service:
    spec = top.child("spec", required=True) or top
    ports = tuple(_service_port(item) for item in spec.children("ports", 100))
    return Service(
        meta,
        spec.text("type", "ClusterIP"),
        ports,
        spec.strings("selector"),
        cluster_ips=tuple(_cluster_ips(spec)),
        ingress=tuple(_ingress(top.raw("status"))),
    )


def _cluster_ips(spec: Fields) -> Iterator[str]:
    """None for a headless Service, which has no address of its own."""
    written = spec.raw("clusterIPs")
    for found in written if isinstance(written, list) else (spec.raw("clusterIP"),):
        if isinstance(found, str) and found not in ("", "None"):
            yield found


def _ingress(status: object) -> Iterator[str]:
    """Where a load balancer takes connections, by address or by name."""
    balancer = status.get("loadBalancer") if isinstance(status, Mapping) else None
    listed = balancer.get("ingress") if isinstance(balancer, Mapping) else None
    for each in listed if isinstance(listed, list) else ():
        found = (each.get("ip") or each.get("hostname")) if isinstance(each, Mapping) else None
        if isinstance(found, str):
            yield found


def _service_port(item: Fields) -> ServicePort:
    target = item.raw("targetPort")
    if not isinstance(target, int | str | None) or isinstance(target, bool):
        item.problem("targetPort", f"expected a port number or name, got {what(target)}")
        target = None
    port = item.integer("port", 1, MAX_PORT, required=True) or 0
    return ServicePort(item.text("name"), port, target, item.text("appProtocol"))
