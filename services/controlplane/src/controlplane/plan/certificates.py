"""Certificates of listeners: Secrets that hold a chain and its key in PEM. Pure."""

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Final

from gateway.kube.objects import ObjectName, Secret

CHAIN_KEY: Final = "tls.crt"
PRIVATE_KEY: Final = "tls.key"
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a TLS server shows. The key is no part of its text."""

    id: ObjectName
    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


def certificate(secret: Secret) -> Certificate | str:
    """The certificate of a Secret, or what is wrong with it."""
    chain, key = secret.data.get(CHAIN_KEY, b""), secret.data.get(PRIVATE_KEY, b"")
    if not _has_pem(chain, b"CERTIFICATE"):
        return f"Secret {secret.meta.id} has no certificate in {CHAIN_KEY}"
    if not _has_pem(key, b"PRIVATE KEY"):
        return f"Secret {secret.meta.id} has no private key in {PRIVATE_KEY}"
    return Certificate(secret.meta.id, chain, key)


def has_certificates(text: bytes) -> bool:
    """Whether a text holds certificates in PEM."""
    return _has_pem(text, b"CERTIFICATE")


def _has_pem(text: bytes, label: bytes) -> bool:
    """Whether a text holds PEM blocks, the first of this label. Envoy checks what is in them."""
    found = _PEM.search(text)
    if found is None or not found[1].endswith(label):
        return False
    try:
        return bool(b64decode(b"".join(found[2].split()), validate=True))
    except binascii.Error:
        return False
