"""How the gateway tells a backend who asks: by a key from a Secret, or by one that comes with the request. Pure.

What is ordered and cannot be done is a condition: nothing is sent without the key that objects name.
"""

from dataclasses import dataclass, field
from typing import Final

from controlplane.plan.grants import Referred, Referring, permitted
from controlplane.status.conditions import Condition, unmet
from gateway.kube.objects import AI_GATEWAY_GROUP, BackendSecurityPolicy, CredentialOverride, Manifests, ObjectName

KEY_MEMBER: Final = "apiKey"  # of a Secret
# The header of each type of key, and what stands before the key there.
_HEADERS: Final = {
    "APIKey": ("authorization", "Bearer "),
    "AzureAPIKey": ("api-key", ""),
    "AnthropicAPIKey": ("x-api-key", ""),
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A header that tells a backend who asks, from a Secret. The value is no part of its text."""

    secret: ObjectName
    header: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RequestCredential:
    """The same from the request, as `source` says; `before` is what stands before the key in the header."""

    source: CredentialOverride
    header: str
    before: str


@dataclass(frozen=True, slots=True)
class Authentication:
    """`own` is the gateway's key. `given`, where a request may bring one, comes before it."""

    own: Credential | None = None
    given: RequestCredential | None = None


NOBODY: Final = Authentication()


def authentication(policy: BackendSecurityPolicy, manifests: Manifests) -> Authentication | Condition:
    """What a BackendSecurityPolicy orders, or why it cannot be done."""
    who = f"BackendSecurityPolicy {policy.meta.id}"
    if policy.secret is None:
        return refused(f"{who}: type {policy.type} is not supported; {', '.join(_HEADERS)} are")
    referring = Referring(AI_GATEWAY_GROUP, "BackendSecurityPolicy", policy.meta.id.namespace)
    if not permitted(manifests, referring, Referred("", "Secret", policy.secret)):
        return refused(f"{who}: no ReferenceGrant lets it refer to Secret {policy.secret}")
    if policy.override is None:
        return by_key(who, policy.type, policy.secret, manifests)
    given = RequestCredential(policy.override, *_HEADERS[policy.type])
    if not policy.override.falls_back:
        return Authentication(given=given)
    found = by_key(who, policy.type, policy.secret, manifests)
    return found if isinstance(found, Condition) else Authentication(found.own, given)


def by_key(who: str, kind: str, secret: ObjectName, manifests: Manifests) -> Authentication | Condition:
    """The key in a Secret as the header of its kind; `who` names it in a fault."""
    found = manifests.secrets.get(secret)
    key = found.data.get(KEY_MEMBER, b"").strip() if found is not None else b""
    if not key:
        return refused(f"{who}: no key {KEY_MEMBER} in Secret {secret}")
    if any(byte < 0x20 or byte == 0x7F for byte in key):
        return refused(f"{who}: the key in Secret {secret} holds a control character")
    header, before = _HEADERS[kind]
    return Authentication(Credential(secret, header, before.encode() + key))


def refused(message: str) -> Condition:
    """A key that is ordered and not to be had."""
    return unmet("ResolvedRefs", "InvalidCredential", message)
