"""Servers of one base model are one pool. Pure.

Servers that share a name of their base model belong together. Two that serve the same weights under different names are
refused: a request for one name would never reach the other, and nobody would see why.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from pointsman.backends.server import InvalidBackendError, Models, Server

# A pool's name is the first part of host names: letters, digits and dashes, at most 63 with a suffix behind it.
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Pool:
    """One base model: its names, its adapters, and who serves it."""

    name: str
    names: tuple[str, ...]
    adapters: tuple[str, ...]
    servers: tuple[Server, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Every name that a client may ask for."""
        return (*self.names, *self.adapters)


def pools_of(found: Mapping[Server, Models]) -> tuple[Pool, ...]:
    """The pools of these servers, by name."""
    groups: list[tuple[list[Server], set[str]]] = []
    for server, models in found.items():
        joined = [group for group in groups if not group[1].isdisjoint(models.names)]
        servers = [each for group in joined for each in group[0]]
        names = set(models.names).union(*(group[1] for group in joined))
        groups = [group for group in groups if group not in joined] + [([*servers, server], names)]
    pools = [_pool(servers, found) for servers, _ in groups]
    _refuse_other_names(pools, found)
    _refuse_adapters_of_two(pools)
    return _named_apart(sorted(pools, key=lambda pool: pool.name))


def pool_name(model: str) -> str:
    """A model's name as a label of Kubernetes."""
    name = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")[:_NAME_LENGTH].strip("-")
    return name or "model"


def _pool(servers: Sequence[Server], found: Mapping[Server, Models]) -> Pool:
    listed = [found[server] for server in servers]
    names = tuple(dict.fromkeys(name for models in listed for name in models.names))
    adapters = tuple(dict.fromkeys(name for models in listed for name in models.adapters if name not in names))
    return Pool(pool_name(names[0]), names, adapters, tuple(servers))


def _refuse_other_names(pools: Sequence[Pool], found: Mapping[Server, Models]) -> None:
    first: dict[str, Pool] = {}
    for pool in pools:
        for root in {found[server].root for server in pool.servers}:
            other = first.setdefault(root, pool)
            if other is not pool:
                raise InvalidBackendError(
                    f"{other.servers[0].url} and {pool.servers[0].url} serve {root!r} under the names "
                    f"{other.names[0]!r} and {pool.names[0]!r}: give both the same --served-model-name"
                )


def _refuse_adapters_of_two(pools: Sequence[Pool]) -> None:
    owners: dict[str, Pool] = {}
    for pool in pools:
        for model in pool.models:
            other = owners.setdefault(model, pool)
            if other is not pool:
                raise InvalidBackendError(
                    f"{model!r} is served by {other.servers[0].url} and by {pool.servers[0].url}, which have different "
                    "base models: requests for it could go to either; rename it at one of them"
                )


def _named_apart(pools: Sequence[Pool]) -> tuple[Pool, ...]:
    """Two models of one last name get names of their own."""
    count = {pool.name: sum(each.name == pool.name for each in pools) for pool in pools}
    return tuple(
        pool
        if count[pool.name] == 1
        else Pool(f"{pool.name}-{_digest(pool.names[0])}", pool.names, pool.adapters, pool.servers)
        for pool in pools
    )


def _digest(model: str) -> str:
    return sha256(model.encode()).hexdigest()[:6]
