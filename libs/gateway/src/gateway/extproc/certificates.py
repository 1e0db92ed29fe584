"""The certificate that an ext_proc service serves TLS with: of a folder, reloaded while running, or self-signed.

A folder has the layout of a Kubernetes TLS secret. Each handshake takes the certificate of that moment, so a new one
cuts no stream; one that cannot be read is told of once, and the one in force stays. Without a folder the service makes
its own for as long as it runs: that is the reference's default, and keeps out those who only listen.

TLS 1.2 and 1.3 are served, nothing older.
"""

import datetime
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.rpc.tls import CertificateError, Credentials, KeyPair, check
from gateway.service import logs

log = logs.get(__name__)

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
SELF_SIGNED_FOR: Final = datetime.timedelta(days=3650)  # the reference's


@dataclass(frozen=True, slots=True)
class Tls:
    """How to serve TLS. Without `folder` the certificate is self-signed; `client_ca` asks every client for one."""

    folder: Path | None = None
    reloads: bool = False
    client_ca: Path | None = None
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2


def self_signed(now: datetime.datetime) -> KeyPair:
    """A certificate for nobody in particular, with a key of its own."""
    from cryptography import x509  # a third of a second to import, for this alone
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Pointsman")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + SELF_SIGNED_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    return KeyPair(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(encoding),
    )


def of_folder(folder: Path) -> KeyPair:
    """Read `tls.key` and `tls.crt`."""
    try:
        pair = KeyPair((folder / KEY).read_bytes(), (folder / CERTIFICATE).read_bytes())
    except OSError as error:
        raise CertificateError(f"--cert-path {folder}: {error.strerror}: {error.filename}") from None
    for text, name in ((pair.key, KEY), (pair.certificate, CERTIFICATE)):
        if b"-----BEGIN " not in text:
            raise CertificateError(f"--cert-path {folder}: {name} is no PEM file")
    try:
        check(pair)
    except CertificateError as error:
        raise CertificateError(f"--cert-path {folder}: {error}") from None
    return pair


class FolderWatch:
    """Says whether a folder's certificate changed since the last question; a mistake is told of once.

    It is asked once for each handshake, by gRPC on a thread of its own, so a look costs two `stat`.
    """

    def __init__(self, folder: Path, current: KeyPair) -> None:
        self._folder = folder
        self._current = current
        self._stamp = self._stamps()
        self._lock = threading.Lock()

    def changed(self) -> KeyPair | None:
        """The new certificate, once."""
        with self._lock:
            stamp = self._stamps()
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                found = of_folder(self._folder)
            except CertificateError as error:
                log.error("the new certificate is wrong; the one in force stays", problem=str(error))
                return None
            if found == self._current:
                return None
            self._current = found
        log.info("certificate reloaded", folder=str(self._folder))
        return found

    def _stamps(self) -> tuple[tuple[int, int], ...] | None:
        try:
            found = [(self._folder / name).stat() for name in (KEY, CERTIFICATE)]
        except OSError:
            return None
        return tuple((each.st_mtime_ns, each.st_ino) for each in found)


def credentials(tls: Tls | None, now: datetime.datetime) -> Credentials | None:
    """For a server of either transport; None serves in the clear."""
    if tls is None:
        return None
    pair = self_signed(now) if tls.folder is None else of_folder(tls.folder)
    authorities = None if tls.client_ca is None else _authorities(tls.client_ca)
    if tls.folder is None or not tls.reloads:
        return Credentials(pair, authorities=authorities, oldest=tls.oldest)
    return Credentials(pair, FolderWatch(tls.folder, pair).changed, authorities, tls.oldest)


def _authorities(path: Path) -> bytes:
    try:
        found = path.read_bytes()
    except OSError as error:
        raise CertificateError(f"--client-ca-file {path}: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE" not in found:
        raise CertificateError(f"--client-ca-file {path}: no certificate in PEM")
    return found
