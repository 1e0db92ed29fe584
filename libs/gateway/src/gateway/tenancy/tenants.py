"""Tenants: which clients belong to each, and what it may use. Pure. `kube.reading.tenants` reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

MOST_TENANTS: Final = 10_000
EVERY_OTHER: Final = "*"


class Isolation(StrEnum):
    """Whose cached prompts are shared."""

    NONE = "none"
    TENANT = "tenant"
    GROUP = "group"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Models:
    """Names, beginnings of names, and base models whose adapters count, too. Without any of them all are allowed."""

    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    bases: frozenset[str] = frozenset()

    @property
    def is_every(self) -> bool:
        return not (self.names or self.prefixes or self.bases)

    def allow(self, model: str, base_models: Mapping[str, str]) -> bool:
        """Whether a model may be used; `base_models` are the base models of names."""
        return (
            self.is_every
            or model in self.names
            or model.startswith(self.prefixes)
            or base_models.get(model, model) in self.bases
        )

    def header(self, base_models: Mapping[str, str]) -> str:
        """They as the picker's list of models is told of them."""
        adapters = {name for name, base in base_models.items() if base in self.bases}
        listed = [quote(name, safe="/:") for name in sorted(self.names | self.bases | adapters)]
        return ",".join((*listed, *(f"{quote(prefix, safe='/:')}*" for prefix in self.prefixes)))


@dataclass(frozen=True, slots=True)
class Tenant:
    """What a tenant may do, and how it is told from others. Its requests are at most as important as
    `priority_ceiling`; `may_overflow`: they may go to external providers that take over from a pool."""

    name: str
    clients: tuple[str, ...] = ()
    group: str = ""
    models: Models = field(default_factory=Models)
    objectives: tuple[str, ...] = ()
    fairness_id: str = ""
    is_trusted: bool = False
    priority_ceiling: int | None = None
    cost_centre: str = ""
    may_overflow: bool = True


@dataclass(frozen=True, slots=True)
class TenantList:
    """What one ConfigMap says; one that is not sound has mistakes, and no tenants."""

    isolation: Isolation = Isolation.TENANT
    tenants: tuple[Tenant, ...] = ()
    is_sound: bool = True
    isolation_of: Mapping[str, Isolation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tenants:
    """All tenants. Without any nothing is decided by who asks. Where not all could be read, nobody can be told what it
    may do."""

    by_name: Mapping[str, Tenant] = field(default_factory=dict)
    by_client: Mapping[str, Tenant] = field(default_factory=dict)
    isolation: Isolation = Isolation.TENANT
    isolation_of: Mapping[str, Isolation] = field(default_factory=dict)
    is_sound: bool = True

    def isolation_for(self, model: str, base_models: Mapping[str, str]) -> Isolation:
        """That of a model: by its name, by the longest beginning of it, by its base model, else the usual one."""
        if not self.isolation_of:
            return self.isolation
        if model in self.isolation_of:
            return self.isolation_of[model]
        begun = (name for name in self.isolation_of if name.endswith(EVERY_OTHER) and model.startswith(name[:-1]))
        named = max(begun, key=len, default=base_models.get(model, model))
        return self.isolation_of.get(named, self.isolation)

    @property
    def isolates(self) -> bool:
        """Whether any model's prompts are kept apart."""
        return any(each is not Isolation.NONE for each in (self.isolation, *self.isolation_of.values()))

    @property
    def usual(self) -> Tenant | None:
        """That of clients whom no tenant names."""
        return self.by_client.get(EVERY_OTHER)


def tenants_of(found: Sequence[TenantList]) -> Tenants:
    """Those of several ConfigMaps together: of tenants and clients with one name the first counts, of isolations the
    strictest."""
    by_name: dict[str, Tenant] = {}
    by_client: dict[str, Tenant] = {}
    for each in (tenant for listed in found for tenant in listed.tenants):
        if by_name.setdefault(each.name, each) is each:
            for client in each.clients:
                by_client.setdefault(client, each)
    isolation_of: dict[str, Isolation] = {}
    for model, isolation in (item for listed in found for item in listed.isolation_of.items()):
        isolation_of[model] = _strictest((isolation, isolation_of.get(model, isolation)))
    return Tenants(
        MappingProxyType(by_name),
        MappingProxyType(by_client),
        _strictest([listed.isolation for listed in found] or [Isolation.TENANT]),
        MappingProxyType(isolation_of),
        is_sound=all(listed.is_sound for listed in found),
    )


def _strictest(found: Iterable[Isolation]) -> Isolation:
    return max(found, key=list(Isolation).index)
