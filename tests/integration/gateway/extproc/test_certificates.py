"""TLS of the ext_proc services: what is served, to whom, and what a new certificate does to open streams."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import pytest

from gateway import protos
from gateway.extproc.certificates import Tls, credentials, self_signed
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, Transport, serving
from gateway.rpc.tls import CertificateError, KeyPair

POOL = protos.load_pool()
Request = protos.message_class(POOL, "grpc.health.v1.HealthCheckRequest")
Response = protos.message_class(POOL, "grpc.health.v1.HealthCheckResponse")
NOW = datetime.now(UTC)


def write(folder: Path, pair: KeyPair) -> None:
    (folder / "tls.key").write_bytes(pair.key)
    (folder / "tls.crt").write_bytes(pair.certificate)


@asynccontextmanager
async def secured(tls: Tls, transport: Transport) -> AsyncIterator[int]:
    how = Serving(credentials(tls, NOW), transport)
    async with serving([Health(lambda: True)], "127.0.0.1:0", how) as port:
        yield port


async def handshake(port: int, context: ssl.SSLContext) -> tuple[str | None, bytes, str | None]:
    """Version, the server's certificate in DER, and the protocol agreed on."""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
    shown = connection.version(), connection.getpeercert(binary_form=True) or b"", connection.selected_alpn_protocol()
    writer.transport.abort()
    return shown


def newest() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def at_most(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = newest()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    return context


async def test_without_a_folder_the_certificate_is_self_signed(transport: Transport) -> None:
    async with secured(Tls(), transport) as port:
        version, certificate, protocol = await handshake(port, newest())
    assert (version, protocol) == ("TLSv1.3", "h2")
    assert certificate


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_older_than_1_2_is_refused(transport: Transport) -> None:
    async with secured(Tls(), transport) as port:
        assert (await handshake(port, at_most(ssl.TLSVersion.TLSv1_2)))[0] == "TLSv1.2"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await handshake(port, at_most(ssl.TLSVersion.TLSv1_1))


@asynccontextmanager
async def trusting(port: int, server: KeyPair, client: KeyPair | None = None) -> AsyncIterator[grpc.aio.Channel]:
    own = (None, None) if client is None else (client.key, client.certificate)
    secrets = grpc.ssl_channel_credentials(server.certificate, *own)
    async with grpc.aio.secure_channel(f"localhost:{port}", secrets) as channel:
        yield channel


async def watched(channel: grpc.aio.Channel) -> grpc.aio.UnaryStreamCall:
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch", Request.SerializeToString, Response.FromString)
    call = watch(Request(service=""))
    assert (await call.read()).status == 1
    return call


@pytest.mark.parametrize("reloads", [True, False], ids=["reloaded", "kept"])
async def test_a_new_certificate_counts_from_the_next_handshake_on_and_cuts_no_stream(
    tmp_path: Path, transport: Transport, reloads: bool
) -> None:
    first, second = self_signed(NOW), self_signed(NOW)
    write(tmp_path, first)
    async with secured(Tls(tmp_path, reloads=reloads), transport) as port, trusting(port, first) as channel:
        stream = await watched(channel)
        before = (await handshake(port, newest()))[1]
        assert before == ssl.PEM_cert_to_DER_cert(first.certificate.decode())
        write(tmp_path, second)
        after = (await handshake(port, newest()))[1]
        expected = second if reloads else first
        assert after == ssl.PEM_cert_to_DER_cert(expected.certificate.decode())
        assert not stream.done()


async def test_a_broken_new_certificate_leaves_the_old_one_in_force(tmp_path: Path, transport: Transport) -> None:
    first = self_signed(NOW)
    write(tmp_path, first)
    async with secured(Tls(tmp_path, reloads=True), transport) as port:
        (tmp_path / "tls.crt").write_text("not a certificate")
        assert (await handshake(port, newest()))[1] == ssl.PEM_cert_to_DER_cert(first.certificate.decode())
        (tmp_path / "tls.key").unlink()
        assert (await handshake(port, newest()))[1] == ssl.PEM_cert_to_DER_cert(first.certificate.decode())


def test_a_certificate_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"tls\.key"):
        credentials(Tls(tmp_path), NOW)
    with pytest.raises(CertificateError, match=r"--client-ca-file"):
        credentials(Tls(client_ca=tmp_path / "ca.crt"), NOW)


async def test_clients_without_a_certificate_of_the_authorities_are_refused(
    tmp_path: Path, transport: Transport
) -> None:
    server, client, stranger = self_signed(NOW), self_signed(NOW), self_signed(NOW)
    write(tmp_path, server)
    (tmp_path / "ca.crt").write_bytes(client.certificate)
    async with secured(Tls(tmp_path, client_ca=tmp_path / "ca.crt"), transport) as port:
        async with trusting(port, server, client) as channel:
            (await watched(channel)).cancel()
        for other in (None, stranger):
            async with trusting(port, server, other) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    async with asyncio.timeout(20):
                        await watched(channel)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_offers_no_http_2_gets_no_connection(transport: Transport) -> None:
    context = newest()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    async with secured(Tls(), transport) as port, asyncio.timeout(20):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            found = await reader.read()
            writer.transport.abort()
        except (ssl.SSLError, ConnectionError):
            found = b""
        assert found == b""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_3_alone_may_be_asked_for_where_the_transport_can(transport: Transport) -> None:
    newer = Tls(oldest=ssl.TLSVersion.TLSv1_3)
    if transport is Transport.GRPCIO:
        with pytest.raises(CertificateError, match="needs --grpc-transport nghttp2"):
            async with secured(newer, transport):
                pass
        return
    async with secured(newer, transport) as port:
        assert (await handshake(port, newest()))[0] == "TLSv1.3"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await handshake(port, at_most(ssl.TLSVersion.TLSv1_2))


async def test_clients_are_still_asked_for_a_certificate_after_the_server_has_a_new_one(
    tmp_path: Path, transport: Transport
) -> None:
    first, second, client = self_signed(NOW), self_signed(NOW), self_signed(NOW)
    write(tmp_path, first)
    (tmp_path / "ca.crt").write_bytes(client.certificate)
    async with secured(Tls(tmp_path, reloads=True, client_ca=tmp_path / "ca.crt"), transport) as port:
        write(tmp_path, second)
        async with trusting(port, second, client) as channel:
            (await watched(channel)).cancel()
        async with trusting(port, second) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                async with asyncio.timeout(20):
                    await watched(channel)
