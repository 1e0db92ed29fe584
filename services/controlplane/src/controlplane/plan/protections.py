"""What is checked of requests before they pass: a policy's demands, with the keys that its objects hold. Pure.

Envoy refuses a whole configuration for one credential that it does not take, so each is checked here. What is wrong
with one is said without it.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from controlplane.plan.grants import Referred, Referring, permitted
from gateway.kube.objects import ENVOY_GATEWAY_GROUP, AccessPolicy, AccessRules, Manifests, ObjectName, RemoteKeys

USERS_MEMBER: Final = ".htpasswd"  # of a Secret
KEY_SET_MEMBER: Final = "jwks"  # of a ConfigMap
_SHA1_BYTES: Final = 20
_USER: Final = re.compile(r"(?P<name>[^:\s][^:]*):\{SHA\}(?P<hash>[A-Za-z0-9+/]+=*)")
_KEY_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("n", "e"),
    "EC": ("x", "y"),
    "OKP": ("x",),
    "oct": ("k",),
}  # of a key set, by type: what a verifier needs


class FaultyCredentialError(ValueError):
    """Something that a policy refers to is missing, or Envoy would not take it."""


@dataclass(frozen=True, slots=True)
class Protection:
    """The demands of a policy. `keys` are (client, key) pairs, `users` lines of htpasswd, `key_sets` the texts of
    providers' keys. None of them is part of its text."""

    policy: ObjectName
    rules: AccessRules
    keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    users: tuple[str, ...] = field(default=(), repr=False)
    key_sets: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def remote_keys(self) -> Mapping[str, RemoteKeys]:
        """The key sets that Envoy fetches, by provider."""
        providers = self.rules.jwt.providers if self.rules.jwt else ()
        return {each.name: each.keys for each in providers if isinstance(each.keys, RemoteKeys)}


def protection(policy: AccessPolicy, rules: AccessRules, manifests: Manifests) -> Protection:
    """What a policy demands, or FaultyCredentialError."""
    secrets = _Secrets(policy, manifests)
    return Protection(
        policy.meta.id,
        rules,
        keys=tuple(_keys(rules, secrets)),
        users=tuple(_users(rules, secrets)),
        key_sets=tuple(_key_sets(rules, manifests)),
    )


class _Secrets:
    """Those that a policy may refer to."""

    def __init__(self, policy: AccessPolicy, manifests: Manifests) -> None:
        self._manifests = manifests
        self._referring = Referring(ENVOY_GATEWAY_GROUP, policy.kind, policy.meta.id.namespace)

    def data(self, name: ObjectName) -> Mapping[str, bytes]:
        if not permitted(self._manifests, self._referring, Referred("", "Secret", name)):
            raise FaultyCredentialError(f"no ReferenceGrant lets it refer to Secret {name}")
        found = self._manifests.secrets.get(name)
        if found is None:
            raise FaultyCredentialError(f"no Secret {name}")
        return found.data


def _keys(rules: AccessRules, secrets: _Secrets) -> Iterator[tuple[str, str]]:
    """A client that two Secrets have counts in the first one, as in Envoy Gateway."""
    clients: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in rules.keys.secrets if rules.keys else ():
        for client, value in sorted(secrets.data(name).items()):
            where = f"member {client} of Secret {name}"
            key = _text(value, where)
            if client in clients:
                continue
            if key in owners:
                raise FaultyCredentialError(f"{where} has the same key as client {owners[key]}")
            clients[client], owners[key] = key, client
    if rules.keys and not clients:
        raise FaultyCredentialError(f"no key in Secret {', '.join(map(str, rules.keys.secrets))}")
    yield from clients.items()


def _text(value: bytes, where: str) -> str:
    """A key; a line break at its end is none of it."""
    try:
        found = value.decode("ascii").rstrip("\r\n")
    except UnicodeDecodeError:
        raise FaultyCredentialError(f"{where} is not ASCII text") from None
    if not found:
        raise FaultyCredentialError(f"{where} is empty")
    if any(character.isspace() or not character.isprintable() for character in found):
        raise FaultyCredentialError(f"{where} holds a space or a control character")
    return found


def _users(rules: AccessRules, secrets: _Secrets) -> Iterator[str]:
    if rules.basic is None:
        return
    name = rules.basic.users
    text = secrets.data(name).get(USERS_MEMBER, b"").decode("utf-8", "replace")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    seen: set[str] = set()
    for number, line in ((number, line) for number, line in lines if line and not line.startswith("#")):
        where = f"line {number} of {USERS_MEMBER} in Secret {name}"
        found = _USER.fullmatch(line)
        if found is None or not _is_sha1(found["hash"]):
            raise FaultyCredentialError(f"{where}: expected USER:{{SHA}} and a hash, as htpasswd -s writes it")
        if found["name"] in seen:
            raise FaultyCredentialError(f"{where}: user {found['name']} is there twice")
        seen.add(found["name"])
        yield line
    if not seen:
        raise FaultyCredentialError(f"no user in {USERS_MEMBER} of Secret {name}")


def _is_sha1(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _SHA1_BYTES
    except binascii.Error:
        return False


def _key_sets(rules: AccessRules, manifests: Manifests) -> Iterator[tuple[str, str]]:
    for provider in rules.jwt.providers if rules.jwt else ():
        if isinstance(provider.keys, RemoteKeys):
            continue
        where = f"the key set of provider {provider.name}"
        text = provider.keys
        if isinstance(text, ObjectName):
            where, text = f"ConfigMap {text}", _of_config_map(text, manifests)
        fault = _key_set_fault(text)
        if fault:
            raise FaultyCredentialError(f"{where}: {fault}")
        yield provider.name, text


def _of_config_map(name: ObjectName, manifests: Manifests) -> str:
    """The member of the usual name, else the first one, as in Envoy Gateway."""
    found = manifests.config_maps.get(name)
    if found is None or not found.data:
        raise FaultyCredentialError(f"no ConfigMap {name} with a key set")
    return found.data.get(KEY_SET_MEMBER, next(iter(found.data.values())))


def _key_set_fault(text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError as error:
        return f"not JSON: {error}"
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not keys:
        return "expected an object with a list of keys, got none"
    for index, key in enumerate(keys):
        needed = _KEY_FIELDS.get(str(key.get("kty"))) if isinstance(key, dict) else None
        if needed is None:
            return f"keys[{index}].kty: expected one of {', '.join(_KEY_FIELDS)}"
        missing = next((name for name in needed if not _is_base64url(key.get(name))), None)
        if missing:
            return f"keys[{index}].{missing}: expected base64url text"
    return ""


def _is_base64url(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]+=*", value) is not None
