"""One request's caller: who it is by its headers, and what goes on of what it says of itself. Pure.

    a key of the keys file         the client and the tenant of its line; no other request passes where there is a file
    a client's id from the proxy   the client that Envoy's filters authenticated, and the tenant that names it
    neither                        nobody: what the proxy lets pass shares one identity

Without keys and tenants nothing changes: what a client says of itself goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.tenancy.keys import Client, Keys
from gateway.tenancy.salting import Salter, Salting
from gateway.tenancy.tenants import Models, Tenant, Tenants
from gateway.wire import refusals
from gateway.wire.errors import Rejection
from gateway.wire.protocol import (
    ALLOWED_MODELS,
    CLIENT_HEADER_ALIASES,
    CLIENT_ID,
    FAIRNESS_ID,
    MODEL_NAME_REWRITE,
    NO_OVERFLOW,
    OBJECTIVE,
    OVERFLOW,
    PRIORITY_CEILING,
    TENANT,
)

AUTHORIZATION: Final = "authorization"
API_KEY: Final = "x-api-key"  # of Anthropic's clients
_BEARER: Final = "bearer"
MODELS_PATH: Final = "/models"  # in the paths whose answers are lists of models
NOBODY: Final = Tenant(name="", fairness_id="anonymous")  # of all who are not known; no tenant has an empty name
_REWRITES: Final = (
    MODEL_NAME_REWRITE, *(alias for alias, name in CLIENT_HEADER_ALIASES.items() if name == MODEL_NAME_REWRITE),
)  # fmt: skip
_UNTRUSTED: Final = (FAIRNESS_ID, OBJECTIVE, MODEL_NAME_REWRITE, *CLIENT_HEADER_ALIASES)


@dataclass(frozen=True, slots=True)
class Access:
    """What callers are judged by at this moment. `keys` None: the proxy authenticates, or nobody does. `tenants` None:
    they were not read yet."""

    keys: Keys | None = None
    tenants: Tenants | None = field(default_factory=Tenants)
    salter: Salter | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is decided by who asks."""
        tenants = self.tenants
        return self.keys is None and tenants is not None and not tenants.by_name and tenants.is_sound


@dataclass(frozen=True, slots=True)
class Caller:
    """Headers to write and to take away, the models that may be asked for, and the salts of the caller's prompts."""

    set_headers: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    models: Models = field(default_factory=Models)
    salting: Salting | None = None


ANYBODY: Final = Caller()


def caller(headers: Mapping[str, str], access: Access, base_models: Mapping[str, str]) -> Caller | Rejection:
    """Who asks, or why nothing is answered."""
    if access.is_open:
        return ANYBODY
    tenants = access.tenants
    if tenants is None:
        return refusals.tenants_not_read()
    if not tenants.is_sound:
        return refusals.tenants_unreadable()
    client = headers.get(CLIENT_ID, "")
    if access.keys is None or client:
        tenant = _tenant(client, tenants)
        return refusals.no_tenant() if tenant is None else _caller(headers, client, tenant, access, base_models)
    owner = _owner(headers, access.keys)
    if owner is None:
        return refusals.invalid_api_key()
    tenant = tenants.by_name.get(owner.tenant) or Tenant(owner.tenant)
    found = _caller(headers, owner.name, tenant, access, base_models)
    taken = tuple(header for header in (AUTHORIZATION, API_KEY) if header in headers)
    return replace(found, removed=(*found.removed, *taken))


def _owner(headers: Mapping[str, str], keys: Keys) -> Client | None:
    """Whose key a request brings. Two different keys are none."""
    scheme, _, bearer = headers.get(AUTHORIZATION, "").partition(" ")
    given = {headers.get(API_KEY, ""), bearer if scheme.lower() == _BEARER else ""} - {""}
    return keys.owner(given.pop()) if len(given) == 1 else None


def _tenant(client: str, tenants: Tenants) -> Tenant | None:
    """The tenant that names a client."""
    return (tenants.by_client.get(client) or tenants.usual) if client else NOBODY


def _caller(
    headers: Mapping[str, str], client: str, tenant: Tenant, access: Access, base_models: Mapping[str, str]
) -> Caller:
    written = {CLIENT_ID: client, TENANT: tenant.name}
    if tenant.priority_ceiling is not None:
        written[PRIORITY_CEILING] = str(tenant.priority_ceiling)
    if not tenant.may_overflow:
        written[OVERFLOW] = NO_OVERFLOW
    if not tenant.is_trusted:
        written[FAIRNESS_ID] = tenant.fairness_id or tenant.name
        written[OBJECTIVE] = _objective(headers.get(OBJECTIVE, ""), tenant)
    if not tenant.models.is_every and MODELS_PATH in headers.get(":path", ""):
        written[ALLOWED_MODELS] = tenant.models.header(base_models)
    untrusted = [header for header in _UNTRUSTED if header in headers and not tenant.is_trusted]
    if not tenant.models.is_every:  # another name for the model would lead around them
        untrusted += [header for header in _REWRITES if header in headers]
    return Caller(
        set_headers=tuple((header, value) for header, value in written.items() if value),
        removed=tuple(dict.fromkeys(header for header in untrusted if not written.get(header))),
        models=tenant.models,
        salting=_salting(client, tenant, access),
    )


def _salting(client: str, tenant: Tenant, access: Access) -> Salting | None:
    salter, tenants = access.salter, access.tenants
    if salter is None or tenants is None or not tenants.isolates:
        return None
    return Salting(salter, tenants, tenant, client)


def _objective(requested: str, tenant: Tenant) -> str:
    """What the client names if it may, else the tenant's first one; without any of its own, none."""
    if requested in tenant.objectives:
        return requested
    return tenant.objectives[0] if tenant.objectives else ""
