"""Tenants: which clients belong to each, and what it may use. Pure. Read from the ConfigMaps that are labelled for it.

isolation: tenant            whose cached prompts are shared: none (everybody), tenant, group or user
tenants:
- name: team-a
  clients: [alice, bob]      names of keys, users, or subjects of tokens; `*` stands for every other client
  group: research
  models: [Qwen/Qwen3-32B, "phi-*"]      all without it
  adaptersOf: [Qwen/Qwen3-32B]           whatever has this base model
  objectives: [standard, batch]          the first one where a client names none of them
  fairnessId: team-a         its own name without it
  trusted: false             whether what its clients say of themselves counts
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from gateway.schema.fields import Fields
from gateway.schema.spelling import CLIENT_NAME as NAME
from gateway.schema.values import Value

MOST_TENANTS: Final = 10_000
MOST_NAMES: Final = 1000  # of clients, models and so on of one tenant
EVERY_OTHER: Final = "*"
LONGEST_NAME: Final = 128


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
    """What a tenant may do, and how it is told from others."""

    name: str
    clients: tuple[str, ...] = ()
    group: str = ""
    models: Models = field(default_factory=Models)
    objectives: tuple[str, ...] = ()
    fairness_id: str = ""
    is_trusted: bool = False


@dataclass(frozen=True, slots=True)
class TenantList:
    """What one ConfigMap says; one that is not sound has mistakes, and no tenants."""

    isolation: Isolation = Isolation.TENANT
    tenants: tuple[Tenant, ...] = ()
    is_sound: bool = True


@dataclass(frozen=True, slots=True)
class Tenants:
    """All tenants. Without any nothing is decided by who asks. Where not all could be read, nobody can be told what it
    may do."""

    by_name: Mapping[str, Tenant] = field(default_factory=dict)
    by_client: Mapping[str, Tenant] = field(default_factory=dict)
    isolation: Isolation = Isolation.TENANT
    is_sound: bool = True

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
    strictest = max((listed.isolation for listed in found), key=list(Isolation).index, default=Isolation.TENANT)
    is_sound = all(listed.is_sound for listed in found)
    return Tenants(MappingProxyType(by_name), MappingProxyType(by_client), strictest, is_sound)


def read(value: Value) -> TenantList:
    """The document of one ConfigMap; what is wrong becomes problems of the value's findings."""
    top = Fields(value)
    isolation = Isolation(top.choice("isolation", tuple(Isolation), Isolation.TENANT))
    found = tuple(_tenant(item) for item in top.children("tenants", MOST_TENANTS))
    top.done()
    names: set[str] = set()
    clients: dict[str, str] = {}
    for index, each in enumerate(found):
        if each.name in names:
            top.problem(f"tenants[{index}].name", f"tenant {each.name} is there twice")
        names.add(each.name)
        for client in each.clients:
            owner = clients.setdefault(client, each.name)
            if owner != each.name:
                top.problem(f"tenants[{index}].clients", f"client {client} belongs to tenant {owner}, too")
    return TenantList(isolation, found)


def _tenant(item: Fields) -> Tenant:
    models, bases = item.texts("models", MOST_NAMES), item.texts("adaptersOf", MOST_NAMES)
    for index, model in enumerate(models):
        if not model or "*" in model[:-1]:
            item.problem(f"models[{index}]", "expected a name, or the beginning of names and '*'")
    if item.has("models") and not models:
        item.problem("models", "may not be empty; leave it away to allow all")
    for key in ("fairnessId", "group"):
        if not item.text(key).isascii():
            item.problem(key, "expected ASCII text: it stands in headers")
    name = item.text("name", required=True)
    if name and not NAME.fullmatch(name):
        item.problem("name", f"not a name: {name!r}; letters, digits, '.', '_', '@' and '-' make one")
    found = Tenant(
        name=name,
        clients=item.texts("clients", MOST_TENANTS),
        group=item.one_line("group", longest=LONGEST_NAME),
        models=Models(
            frozenset(model for model in models if not model.endswith("*")),
            tuple(model[:-1] for model in models if model.endswith("*")),
            frozenset(bases),
        ),
        objectives=item.texts("objectives", MOST_NAMES),
        fairness_id=item.one_line("fairnessId", longest=LONGEST_NAME),
        is_trusted=item.boolean("trusted", default=False),
    )
    item.done()
    return found
