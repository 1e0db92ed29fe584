"""A Service is read for its type, ports and selector, lenient about other fields. Pure."""

from gateway.kube.objects import Meta, Service, ServicePort
from gateway.kube.reading.parts import MAX_PORT
from gateway.schema.fields import Fields
from gateway.schema.wording import what


def service(meta: Meta, top: Fields) -> Service:
    spec = top.child("spec", required=True) or top
    ports = tuple(_service_port(item) for item in spec.children("ports", 100))
    return Service(meta, spec.text("type", "ClusterIP"), ports, spec.strings("selector"))


def _service_port(item: Fields) -> ServicePort:
    target = item.raw("targetPort")
    if not isinstance(target, int | str | None) or isinstance(target, bool):
        item.problem("targetPort", f"expected a port number or name, got {what(target)}")
        target = None
    port = item.integer("port", 1, MAX_PORT, required=True) or 0
    return ServicePort(item.text("name"), port, target, item.text("appProtocol"))
