"""An InferencePool is read, of either API version. Pure."""

from gateway.kube.objects import PICKER_PORT_DEFAULT, FailureMode, InferencePool, LabelSelector, Meta, PickerRef
from gateway.kube.reading.parts import MAX_PORT, spec_of
from gateway.schema.fields import Fields


def pool_v1(meta: Meta, top: Fields) -> InferencePool:
    spec = spec_of(top)
    selector = spec.child("selector", required=True)
    labels = selector.labels("matchLabels", 64, least=1) if selector else {}
    if selector:
        selector.done()
    ports = tuple(
        item.integer("number", 1, MAX_PORT, required=True) or 0 for item in spec.children("targetPorts", 8, least=1)
    )
    if len(set(ports)) != len(ports):
        spec.problem("targetPorts", "port number must be unique")
    protocol = spec.choice("appProtocol", ("http", "kubernetes.io/h2c"), "http")
    ref = spec.child("endpointPickerRef")
    pool = InferencePool(meta, LabelSelector(labels), ports, protocol != "http", _picker(ref) if ref else None)
    spec.done()
    return pool


def _picker(ref: Fields) -> PickerRef:
    kind = ref.text("kind", "Service")
    port = ref.child("port")
    number = port.integer("number", 1, MAX_PORT, required=True) if port else None
    if port is None and kind == "Service" and not ref.has("port"):
        ref.problem("port", "port is required when kind is 'Service' or unspecified (defaults to 'Service')")
    picker = PickerRef(
        group=ref.text("group"),
        kind=kind,
        name=ref.name("name", required=True),
        port=number or PICKER_PORT_DEFAULT,
        failure_mode=FailureMode(ref.choice("failureMode", tuple(FailureMode), FailureMode.CLOSE)),
    )
    ref.done()
    return picker


def pool_v1alpha2(meta: Meta, top: Fields) -> InferencePool:
    spec = spec_of(top)
    labels = spec.labels("selector", 64, least=1)
    port = spec.integer("targetPortNumber", 1, MAX_PORT, required=True) or 0
    ref = spec.child("extensionRef", required=True)
    picker = _extension(ref) if ref else None
    spec.done()
    return InferencePool(meta, LabelSelector(labels), (port,), h2c=False, picker=picker)


def _extension(ref: Fields) -> PickerRef:
    picker = PickerRef(
        group=ref.text("group"),
        kind=ref.text("kind", "Service"),
        name=ref.name("name", required=True),
        port=ref.integer("portNumber", 1, MAX_PORT, PICKER_PORT_DEFAULT) or PICKER_PORT_DEFAULT,
        failure_mode=FailureMode(ref.choice("failureMode", tuple(FailureMode), FailureMode.CLOSE)),
    )
    ref.done()
    return picker
