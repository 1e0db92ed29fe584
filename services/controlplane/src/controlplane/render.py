"""Manifests and addresses become what Envoy is to have, and the status of every object. Pure and whole."""

from dataclasses import dataclass, replace

from controlplane.memo import Memo
from controlplane.options import Options
from controlplane.ownership import class_statuses, owned
from controlplane.plan.planning import Port, plan
from controlplane.status.conditions import Status
from controlplane.xds.check import faults
from controlplane.xds.rendering import snapshot
from controlplane.xds.snapshot import Snapshot
from gateway.kube.objects import Manifests
from gateway.kube.resolution.endpoints import Addresses


@dataclass(frozen=True, slots=True)
class Rendered:
    """A snapshot, the status behind it, and what is served at each port. One with faults must not be served:
    the last one stays."""

    snapshot: Snapshot
    status: Status
    ports: tuple[Port, ...] = ()
    faults: tuple[str, ...] = ()


def render(manifests: Manifests, addresses: Addresses, options: Options, memo: Memo | None = None) -> Rendered:
    """Plan, write resources, check them. With the memo of the rendering before, only what has changed is made anew."""
    memo = memo or Memo()
    memo.begin()
    served = owned(manifests) if options.by_class else manifests
    planned = plan(served, addresses, options, memo)
    found = snapshot(planned, options, memo)
    status = replace(planned.status, classes=class_statuses(manifests))
    return Rendered(found, status, planned.ports, faults(found, memo))
