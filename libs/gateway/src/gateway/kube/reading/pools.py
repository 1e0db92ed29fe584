"""An InferencePool is read, of either API version and in the forms that published documents mix. Pure.

Both versions take a flat selector and `matchLabels`, `targetPorts` and `targetPortNumber`, `endpointPickerRef` and
`extensionRef`, or no port and no picker. What the API of the document's version would refuse is a note.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import PICKER_PORT_DEFAULT, FailureMode, InferencePool, LabelSelector, Meta, PickerRef
from gateway.kube.reading.parts import MAX_PORT, spec_of
from gateway.schema.fields import Fields


@dataclass(frozen=True, slots=True)
class _Version:
    """The fields of one API version, and those of the other."""

    name: str
    has_flat_selector: bool
    ports: str
    picker: str


_V1: Final = _Version("v1", has_flat_selector=False, ports="targetPorts", picker="endpointPickerRef")
_V1ALPHA2: Final = _Version("v1alpha2", has_flat_selector=True, ports="targetPortNumber", picker="extensionRef")
_PORT_FIELDS: Final = (_V1.ports, _V1ALPHA2.ports)
_PICKER_FIELDS: Final = (_V1.picker, _V1ALPHA2.picker)


def pool_v1(meta: Meta, top: Fields) -> InferencePool:
    return _pool(meta, top, _V1)


def pool_v1alpha2(meta: Meta, top: Fields) -> InferencePool:
    return _pool(meta, top, _V1ALPHA2)


def _pool(meta: Meta, top: Fields, version: _Version) -> InferencePool:
    spec = spec_of(top)
    pool = InferencePool(
        meta=meta,
        selector=LabelSelector(_selector(spec, version)),
        target_ports=_ports(spec, version),
        h2c=spec.choice("appProtocol", ("http", "kubernetes.io/h2c"), "http") != "http",
        picker=_picker(spec, version),
    )
    spec.done()
    return pool


def _selector(spec: Fields, version: _Version) -> Mapping[str, str]:
    written = spec.raw("selector")
    is_flat = not (isinstance(written, Mapping) and isinstance(written.get("matchLabels"), Mapping))
    if written is not None and isinstance(written, Mapping) and written and is_flat != version.has_flat_selector:
        form = "the labels themselves" if version.has_flat_selector else "them in matchLabels"
        spec.at("selector").note(f"the API {version.name} wants {form}; read all the same")
    if is_flat:
        return spec.labels("selector", 64, least=1)
    selector = spec.child("selector")
    assert selector is not None  # it is a mapping
    labels = selector.labels("matchLabels", 64, least=1)
    selector.done()
    return labels


def _ports(spec: Fields, version: _Version) -> tuple[int, ...]:
    field = _written(spec, _PORT_FIELDS, version, version.ports)
    if field == "":
        spec.at("targetPorts").note("no port: only endpoints with a port of their own are served")
        return ()
    if field == _V1ALPHA2.ports:
        return (spec.integer(field, 1, MAX_PORT) or 0,)
    listed = spec.children(field, 8, least=1)
    ports = tuple(item.integer("number", 1, MAX_PORT, required=True) or 0 for item in listed)
    if len(set(ports)) != len(ports):
        spec.problem(field, "port number must be unique")
    return ports


def _picker(spec: Fields, version: _Version) -> PickerRef | None:
    field = _written(spec, _PICKER_FIELDS, version, version.picker)
    ref = spec.child(field) if field else None
    if ref is None:
        return None
    kind = ref.text("kind", "Service")
    picker = PickerRef(
        group=ref.text("group"),
        kind=kind,
        name=ref.name("name", required=True),
        port=_picker_port(ref, is_needed=field == _V1.picker and kind == "Service"),
        failure_mode=FailureMode(ref.choice("failureMode", tuple(FailureMode), FailureMode.CLOSE)),
    )
    ref.done()
    return picker


def _picker_port(ref: Fields, *, is_needed: bool) -> int:
    """`port: {number: 9002}`, `port: 9002` or `portNumber: 9002`."""
    if ref.has("portNumber"):
        return ref.integer("portNumber", 1, MAX_PORT) or PICKER_PORT_DEFAULT
    if not isinstance(ref.raw("port"), Mapping):
        if is_needed and not ref.has("port"):
            ref.problem("port", "port is required when kind is 'Service' or unspecified (defaults to 'Service')")
        return ref.integer("port", 1, MAX_PORT) or PICKER_PORT_DEFAULT
    port = ref.child("port")
    return (port.integer("number", 1, MAX_PORT, required=True) if port else None) or PICKER_PORT_DEFAULT


def _written(spec: Fields, fields: tuple[str, str], version: _Version, own: str) -> str:
    """Which of two fields of one meaning is written; empty for neither."""
    found = [field for field in fields if spec.has(field)]
    if len(found) > 1:
        spec.problem(found[1], f"only one of {' and '.join(fields)} may be written")
    if found and found[0] != own:
        spec.at(found[0]).note(f"the API {version.name} calls it {own}; read all the same")
    return found[0] if found else ""
