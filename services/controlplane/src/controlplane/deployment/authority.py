"""Who may ask for a Gateway's configuration: an authority of the control plane, and certificates that it gives.

The same authority gives the same certificate for the same name and month, at every replica and after every restart:
keys are derived from its own. So nothing is kept but the authority, and to apply a certificate again changes nothing.
"""

import datetime
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.rpc.tls import KeyPair
from gateway.xds.messages import Request

CERTIFICATE: Final = "ca.crt"
KEY: Final = "ca.key"
KEY_BITS: Final = 2048
AUTHORITY_DAYS: Final = 3650
PERIOD_DAYS: Final = 30  # after which an Envoy gets another certificate
VALID_PERIODS: Final = 3  # of a certificate: who is away for two of them comes back with one that counts
OVERLAP: Final = datetime.timedelta(days=1)  # clocks differ
_EPOCH: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_NAMES: Final = "spiffe://pointsman.dev/gateway/"
_SERIAL_BYTES: Final = 16
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the curve P-256: keys are below


def identity(group: str) -> str:
    """The name in the certificate of a Gateway's Envoys; `group` is `namespace/gateway`."""
    return f"{_NAMES}{group}"


def is_authorized(request: Request, names: Sequence[str]) -> bool:
    """Whether a proxy is one of the group that it names."""
    return identity(request.cluster) in names


def new_authority(now: datetime.datetime) -> Mapping[str, bytes]:
    """A certificate and its key in PEM, as a Secret holds them."""
    from cryptography import x509  # a third of a second to import, for those who deploy
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, KEY_BITS)
    name = _name("Pointsman control plane")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - OVERLAP)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return {CERTIFICATE: _pem(certificate), KEY: _private(key)}


class AuthorityError(ValueError):
    """A Secret that holds no authority; the text says which part is wrong."""


class Authority:
    """Of a Secret's data. Raises AuthorityError."""

    def __init__(self, data: Mapping[str, bytes]) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        part = CERTIFICATE
        try:
            self.certificate = data[CERTIFICATE]
            self._issuer = x509.load_pem_x509_certificate(self.certificate)
            part = KEY
            self._key: Any = serialization.load_pem_private_key(data[KEY], None)
        except (KeyError, ValueError, TypeError) as error:  # TypeError: a key with a password
            raise AuthorityError(f"{part}: {'missing' if isinstance(error, KeyError) else error}") from None
        self._seed = hashlib.sha256(data[KEY]).digest()

    def server(self, host: str, now: datetime.datetime) -> KeyPair:
        """What a replica of the control plane shows; valid for as long as the authority is."""
        from cryptography import x509

        return self._issued(x509.DNSName(host), _month(now), self._issuer.not_valid_after_utc)

    def client(self, group: str, now: datetime.datetime) -> KeyPair:
        """What the Envoys of a Gateway show."""
        from cryptography import x509

        begin = _month(now)
        end = min(begin + VALID_PERIODS * datetime.timedelta(days=PERIOD_DAYS), self._issuer.not_valid_after_utc)
        return self._issued(x509.UniformResourceIdentifier(identity(group)), begin, end)

    def _issued(self, name: Any, begin: datetime.datetime, end: datetime.datetime) -> KeyPair:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        text = f"{name.value} {begin:%Y-%m-%d}"
        key = ec.derive_private_key(int.from_bytes(self._derived("key", text)) % (_ORDER - 1) + 1, ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("Pointsman"))
            .issuer_name(self._issuer.subject)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(self._derived("serial", text)[:_SERIAL_BYTES]) or 1)
            .not_valid_before(begin - OVERLAP)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return KeyPair(_private(key), _pem(certificate))

    def _derived(self, use: str, text: str) -> bytes:
        return hmac.digest(self._seed, f"{use} {text}".encode(), "sha256")


def _month(now: datetime.datetime) -> datetime.datetime:
    period = datetime.timedelta(days=PERIOD_DAYS)
    return _EPOCH + (now - _EPOCH) // period * period


def _name(text: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    found: bytes = certificate.public_bytes(serialization.Encoding.PEM)
    return found


def _private(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    found: bytes = key.private_bytes(encoding, form, serialization.NoEncryption())
    return found
