"""An EndpointSlice is read for its addresses and ports, lenient about other fields. Pure."""

from gateway.kube.objects import AddressType, EndpointSlice, Meta, SliceEndpoint, SlicePort
from gateway.kube.reading.parts import MAX_PORT
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what


def endpoint_slice(meta: Meta, top: Fields) -> EndpointSlice:
    kind = AddressType(top.choice("addressType", tuple(AddressType), AddressType.IPV4))
    if not top.has("addressType"):
        top.problem("addressType", "required")
    return EndpointSlice(
        meta=meta,
        address_type=kind,
        endpoints=tuple(_slice_endpoint(item, kind) for item in top.children("endpoints", 1000)),
        ports=tuple(
            SlicePort(item.text("name"), item.integer("port", 1, MAX_PORT, required=True) or 0)
            for item in top.children("ports", 100)
        ),
    )


def _slice_endpoint(item: Fields, kind: AddressType) -> SliceEndpoint:
    addresses = item.texts("addresses", 100, least=1)
    for index, address in enumerate(addresses):
        if not _is_address(address, kind):
            item.problem(f"addresses[{index}]", f"expected an {kind} address, got {what(address)}")
    conditions, target = item.child("conditions"), item.child("targetRef")
    ready = _is_ready(conditions) if conditions else True
    name = target.text("name") if target else ""
    return SliceEndpoint(addresses, ready, name or item.text("hostname"))


def _is_ready(conditions: Fields) -> bool:
    """One that terminates gets nothing new, whatever else its slice says."""
    is_terminating = conditions.boolean("terminating", default=False)
    return conditions.boolean("ready", default=True) and not is_terminating


def _is_address(text: str, kind: AddressType) -> bool:
    if kind is AddressType.FQDN:
        return 0 < len(text) <= 253 and not any(character.isspace() or character in "/:[]" for character in text)
    return spelling.ip_version(text) == (4 if kind is AddressType.IPV4 else 6)
