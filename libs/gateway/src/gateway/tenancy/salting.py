"""Cached prompts are told apart by who asks: a keyed hash of the tenant stands in the body as `cache_salt`. Pure.

A server finds a prompt in its cache only under the salt under which it was put there, and a client cannot make the salt
of another one without the key. What a client writes there itself never passes.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from gateway.tenancy.tenants import Isolation, Tenant, Tenants

MEMBER: Final = "cache_salt"
SALT_BYTES: Final = 16  # two of a billion tenants agree with a probability of 1 in 10**20


@dataclass(frozen=True, slots=True)
class Salter:
    """Makes the salts of one secret. It is no part of its text."""

    secret: bytes = field(repr=False)

    def salt(self, isolation: Isolation, tenant: str, group: str, client: str) -> str | None:
        """That of a scope; None where everybody shares. A tenant without a group is a group by itself."""
        if isolation is Isolation.NONE:
            return None
        parts: tuple[str, ...] = ("tenant", tenant)
        if isolation is Isolation.GROUP and group:
            parts = ("group", group)
        elif isolation is Isolation.USER:
            parts = ("user", tenant, client)
        # Lengths keep the parts apart: `a` and `bc` are not `ab` and `c`.
        text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        found = hmac.new(self.secret, text, hashlib.sha256).digest()[:SALT_BYTES]
        return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Salting:
    """The salts of one caller, by the model that it asks for."""

    salter: Salter
    tenants: Tenants
    tenant: Tenant
    client: str

    def salt(self, model: str, base_models: Mapping[str, str]) -> str | None:
        """None where everybody shares what is cached of the model."""
        isolation = self.tenants.isolation_for(model, base_models)
        return self.salter.salt(isolation, self.tenant.name, self.tenant.group, self.client)


def salted(body: bytes, document: Mapping[str, object], salt: str) -> bytes:
    """A JSON object with the salt. `document` is what it holds; only one with a salt of its own is written anew."""
    start = body.find(b"{")
    if MEMBER in document or start < 0 or not document:
        return orjson.dumps({**document, MEMBER: salt})
    return b'%b{"%b":"%b",%b' % (body[:start], MEMBER.encode(), salt.encode(), body[start + 1 :])
