"""A ReferenceGrant is read. Pure."""

from gateway.kube.objects import Meta, ReferenceGrant, ReferencePeer
from gateway.kube.reading.parts import spec_of
from gateway.schema.fields import Fields


def reference_grant(meta: Meta, top: Fields) -> ReferenceGrant:
    spec = spec_of(top)
    return ReferenceGrant(
        meta,
        from_=tuple(
            ReferencePeer(peer.text("group"), peer.text("kind", required=True), peer.text("namespace", required=True))
            for peer in spec.children("from", 16, least=1)
        ),
        to=tuple(
            ReferencePeer(peer.text("group"), peer.text("kind", required=True), name=peer.text("name"))
            for peer in spec.children("to", 16, least=1)
        ),
    )
