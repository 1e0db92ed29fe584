"""Which pools there are, and their endpoints: `specs` (pure) derives them, `follow` (shell) keeps them current.

`scope` (pure) says which objects of a cluster that takes.
"""

from epp.discovery.follow import Discovery
from epp.discovery.scope import Scope
from epp.discovery.specs import Pools, PriorityOrder, pool_specs

__all__ = ["Discovery", "Pools", "PriorityOrder", "Scope", "pool_specs"]
