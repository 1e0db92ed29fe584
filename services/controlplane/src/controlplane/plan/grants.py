"""Whether an object may refer to one of another namespace: ReferenceGrants. Pure."""

from dataclasses import dataclass

from gateway.kube.objects import Manifests, ObjectName


@dataclass(frozen=True, slots=True)
class Referring:
    """What refers to it."""

    group: str
    kind: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Referred:
    """What is referred to."""

    group: str
    kind: str
    id: ObjectName


def permitted(manifests: Manifests, referring: Referring, referred: Referred) -> bool:
    """Whether an object of this kind and namespace may refer to it."""
    if referred.id.namespace == referring.namespace:
        return True
    return any(
        grant.meta.id.namespace == referred.id.namespace
        and any(Referring(peer.group, peer.kind, peer.namespace) == referring for peer in grant.from_)
        and any(
            (peer.group, peer.kind) == (referred.group, referred.kind) and peer.name in ("", referred.id.name)
            for peer in grant.to
        )
        for grant in manifests.grants.values()
    )
