"""The certificate that a server shows, for either transport. No files: whoever reads them gives PEM texts."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from gateway.service import logs

log = logs.get(__name__)


class CertificateError(ValueError):
    """A certificate or key for TLS cannot be used."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM texts."""

    key: bytes
    certificate: bytes


def _never() -> KeyPair | None:
    return None


@dataclass(frozen=True, slots=True)
class Credentials:
    """`changed` is asked at each handshake and gives a new pair once; `authorities` asks every client for a certificate
    of theirs; `oldest` is the oldest version of TLS that is spoken."""

    pair: KeyPair
    changed: Callable[[], KeyPair | None] = _never
    authorities: bytes | None = None
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """For asyncio: TLS 1.2 and newer, HTTP/2 alone. Each handshake takes the certificate of that moment."""
    first = _context(credentials.pair, credentials.authorities, credentials.oldest)
    current = first

    def choose(opened: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context_before: ssl.SSLContext) -> None:
        nonlocal current
        pair = credentials.changed()
        if pair is not None:
            try:
                current = _context(pair, credentials.authorities, credentials.oldest)
            except CertificateError as error:
                log.error("the new certificate is wrong; the one in force stays", problem=str(error))
        if current is not first:
            opened.context = current

    first.sni_callback = choose
    return first


def check(pair: KeyPair, authorities: bytes | None = None) -> None:
    """Raise `CertificateError` for what cannot be used."""
    _context(pair, authorities)


def _context(
    pair: KeyPair, authorities: bytes | None, oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = oldest
    context.set_alpn_protocols(["h2"])
    # The standard library reads certificates from files alone; this one is in memory.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        if authorities is not None:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise CertificateError(f"the certificate, its key or the authorities are wrong: {error}") from None
    finally:
        os.close(descriptor)
    return context


def server_credentials(credentials: Credentials) -> grpc.ServerCredentials:
    """For grpc.aio, which asks for a new certificate at each handshake on a thread of its own."""
    check(credentials.pair, credentials.authorities)  # gRPC would say nothing of what it cannot use
    if credentials.oldest is not ssl.TLSVersion.TLSv1_2:
        raise CertificateError("--tls-min-version VersionTLS13 needs --grpc-transport nghttp2: grpcio serves 1.2, too")

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        pair = credentials.changed()
        return None if pair is None else _configuration(pair, credentials.authorities)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(credentials.pair, credentials.authorities),
        fetch,
        require_client_authentication=credentials.authorities is not None,
    )


def _configuration(pair: KeyPair, authorities: bytes | None) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], authorities)
