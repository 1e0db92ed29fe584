"""Gives what all Gateways are to have to whoever applies it: after every change of them, and when certificates are due.

A shell around `objects`.
"""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from controlplane.deployment.authority import Authority
from controlplane.deployment.objects import Tree, objects
from controlplane.deployment.parameters import gateway_parameters
from controlplane.options import Deployment
from controlplane.ownership import owned
from gateway.kube.objects import Manifests
from gateway.kube.sources.source import Wanted

RENEWAL_SECONDS: Final = 3600.0  # between two looks at certificates, of which each counts for weeks after its successor

Keep = Callable[[Wanted], Awaitable[None]]


class Deployer:
    """Run `run` in a task."""

    def __init__(
        self, deployment: Deployment, authority: Authority, keep: Keep, now: Callable[[], datetime.datetime]
    ) -> None:
        self._deployment = deployment
        self._authority = authority
        self._keep = keep
        self._now = now
        self._manifests: Manifests | None = None
        self._offered = asyncio.Event()

    def offer(self, manifests: Manifests) -> None:
        """The objects are these now."""
        self._manifests = manifests
        self._offered.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._offered.wait(), RENEWAL_SECONDS)
            self._offered.clear()
            if self._manifests is not None:
                wanted = await asyncio.to_thread(
                    wanted_objects, self._manifests, self._deployment, self._authority, self._now()
                )
                await self._keep(wanted)


def wanted_objects(
    manifests: Manifests, deployment: Deployment, authority: Authority, now: datetime.datetime
) -> Wanted:
    """What the Gateways of our classes are to have. Those whose parameters cannot be followed keep what they have, and
    so do those whose class is not known; of those of another class everything goes."""
    found: list[Tree] = []
    owners = {
        gateway.meta.uid
        for gateway in manifests.gateways.values()
        if any(each.meta.id.name == gateway.class_name for each in manifests.gateway_classes.values())
    }
    for name, gateway in sorted(owned(manifests).gateways.items()):
        wanted = gateway_parameters(gateway, manifests, deployment)
        if isinstance(wanted, str):
            owners.discard(gateway.meta.uid)
        elif wanted.service is None and not gateway.meta.deleted:
            shown = authority.client(str(name), now)
            found += objects(gateway, wanted, deployment, authority.certificate, shown)
    return Wanted(tuple(found), frozenset(owners - {""}))
