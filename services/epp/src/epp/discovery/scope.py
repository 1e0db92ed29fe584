"""Which objects of a cluster a picker follows: a pool with what belongs to it, or all of a namespace or all.

Pure. The quotas and tenants of a namespace are followed with its pools, since the picker counts for them.
"""

from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import Manifests
from gateway.kube.sources.cluster.resources import (
    CONFIG_MAP,
    MODEL_X,
    OBJECTIVE,
    OBJECTIVE_X,
    POOL,
    POOL_X,
    QUOTA_POLICY,
    REWRITE,
    REWRITE_X,
    Selection,
    pods_of,
)
from gateway.wire.protocol import BBR_MANAGED_LABEL, TENANTS_LABEL
from gateway.wire.quotas import QUOTAS_LABEL

_BESIDE_POOLS: Final = (OBJECTIVE_X, OBJECTIVE, REWRITE_X, REWRITE, MODEL_X, QUOTA_POLICY)


@dataclass(frozen=True, slots=True)
class Scope:
    """`namespace` and `pool` are empty for all of them; `routes_by_body` for a picker that is the router, too."""

    namespace: str = ""
    pool: str = ""
    routes_by_body: bool = False

    def needs(self, known: Manifests) -> tuple[Selection, ...]:
        """A pool of the group that is current counts before one of the same name in the former group."""
        pools = tuple(Selection(resource, self.namespace, self.pool) for resource in (POOL_X, POOL))
        more = tuple(Selection(resource, self.namespace) for resource in _BESIDE_POOLS)
        labels = (QUOTAS_LABEL, TENANTS_LABEL, *((BBR_MANAGED_LABEL,) if self.routes_by_body else ()))
        maps = (Selection(CONFIG_MAP, self.namespace, labels=((label, "true"),)) for label in labels)
        return (*pools, *more, *pods_of(known.pools.values()), *maps)
