"""Whether an object may refer to one of another namespace: ReferenceGrants. Pure."""

from dataclasses import dataclass

from gateway.kube.objects import GATEWAY_GROUP, Manifests, ObjectName


@dataclass(frozen=True, slots=True)
class Referred:
    """What is referred to."""

    group: str
    kind: str
    id: ObjectName


def permitted(manifests: Manifests, kind: str, namespace: str, referred: Referred) -> bool:
    """Whether a Gateway API object of this kind and namespace may refer to it."""
    if referred.id.namespace == namespace:
        return True
    return any(
        grant.meta.id.namespace == referred.id.namespace
        and any((peer.group, peer.kind, peer.namespace) == (GATEWAY_GROUP, kind, namespace) for peer in grant.from_)
        and any(
            (peer.group, peer.kind) == (referred.group, referred.kind) and peer.name in ("", referred.id.name)
            for peer in grant.to
        )
        for grant in manifests.grants.values()
    )
