"""Which pools there are, and their endpoints: `specs` (pure) derives them, `follow` (shell) keeps them current."""

from epp.discovery.follow import Discovery
from epp.discovery.specs import Pools, PriorityOrder, pool_specs

__all__ = ["Discovery", "Pools", "PriorityOrder", "pool_specs"]
