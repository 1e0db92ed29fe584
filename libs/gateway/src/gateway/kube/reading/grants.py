"""A ReferenceGrant is read. Pure."""

from gateway.kube.objects import Meta, ReferenceGrant, ReferencePeer
from gateway.kube.reading.parts import spec_of
from gateway.schema.fields import Fields


def reference_grant(meta: Meta, top: Fields) -> ReferenceGrant:
    spec = spec_of(top)
    grant = ReferenceGrant(
        meta,
        from_=tuple(_from(peer) for peer in spec.children("from", 16, least=1)),
        to=tuple(_to(peer) for peer in spec.children("to", 16, least=1)),
    )
    spec.done()
    return grant


def _from(item: Fields) -> ReferencePeer:
    peer = ReferencePeer(item.text("group"), item.text("kind", required=True), item.name("namespace", required=True))
    item.done()
    return peer


def _to(item: Fields) -> ReferencePeer:
    peer = ReferencePeer(item.text("group"), item.text("kind", required=True), name=item.name("name"))
    item.done()
    return peer
