"""Policies and credentials for tests of access: keys, users, and tokens with the keys that verify them."""

import base64
import json
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

_NUMBER_BYTES = 32


def policy(spec: str, name: str = "keys", kind: str = "Gateway", target: str = "gateway") -> str:
    return (
        f"---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nmetadata: {{name: {name}}}\n"
        f"spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {target}}}]\n{spec}"
    )


def api_keys(secret: str = "keys") -> str:
    return (
        f"  apiKeyAuth:\n    credentialRefs: [{{name: {secret}}}]\n"
        "    extractFrom: [{headers: [authorization, x-api-key]}, {params: [key]}, {cookies: [key]}]\n"
        "    forwardClientIDHeader: x-client\n"
    )


def secret(name: str = "keys", **data: str) -> str:
    return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {json.dumps(data)}\n"


class Issuer:
    """Signs tokens with ES256."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def key_set(self) -> str:
        numbers = self._key.public_key().public_numbers()
        x, y = (_text(number.to_bytes(_NUMBER_BYTES, "big")) for number in (numbers.x, numbers.y))
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "use": "sig", "x": x, "y": y}
        return json.dumps({"keys": [key]})

    def token(self, algorithm: str = "ES256", **claims: object) -> str:
        given = {"iss": "https://issuer", "aud": "gateway", "sub": "alice", "exp": int(time.time()) + 3600, **claims}
        signed = f"{_part({'alg': algorithm, 'kid': 'k', 'typ': 'JWT'})}.{_part(given)}"
        if algorithm == "none":
            return f"{signed}."
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{_text(r.to_bytes(_NUMBER_BYTES, 'big') + s.to_bytes(_NUMBER_BYTES, 'big'))}"


def bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


def _part(value: Mapping[str, object]) -> str:
    return _text(json.dumps(value).encode())


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
