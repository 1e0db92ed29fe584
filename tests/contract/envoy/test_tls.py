"""HTTPS listeners on a real Envoy: certificates by server name, taken over anew when their Secret changes."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.options import PickerTransport
from tests.certificates import self_signed
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

LISTENER = "{name: %s, port: 80, protocol: HTTPS, hostname: %s, tls: {certificateRefs: [{name: %s}]}}"
GATEWAY = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gateway}\n"
    f"spec: {{gatewayClassName: c, listeners: [{LISTENER % ('a', 'a.example', 'a')}, "
    f"{LISTENER % ('w', repr('*.example.org'), 'w')}]}}\n"
)


def made(folder: Path, name: str, serial: int) -> tuple[bytes, bytes]:
    """A self-signed certificate for a name, and its key."""
    chain, key = self_signed(folder, name, serial)
    return chain.read_bytes(), key.read_bytes()


def secret(name: str, chain: bytes, key: bytes) -> str:
    shown = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(key).decode()}
    return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\ndata: {shown}\n"


async def served(bed: Bed, name: str, chain: bytes) -> int:
    """The status of a request to a host whose certificate must be this one."""
    context = ssl.create_default_context(cadata=chain.decode())
    url = f"https://{HOST}:{bed.gateway.port}/v1/completions"
    sent: Any = {"json": {"model": "open"}, "headers": {"host": name}, "ssl": context, "server_hostname": name}
    async with aiohttp.ClientSession() as session, session.post(url, **sent) as answer:  # a connection of its own
        return answer.status


async def handshake(port: int, newest: ssl.TLSVersion) -> str | None:
    """What is agreed on with a client that knows no newer version, and takes every cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    async with asyncio.timeout(20):
        _, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="a.example")
    agreed: str | None = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    return agreed


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_each_host_has_its_certificate_a_new_one_is_taken_over_and_old_versions_are_refused(
    make_bed: MakeBed, tmp_path: Path
) -> None:
    first, wild, second = (
        made(tmp_path, name, serial) for serial, name in enumerate(("a.example", "*.example.org", "a.example"), 1)
    )
    async with make_bed(gateway=GATEWAY, secrets=secret("a", *first) + secret("w", *wild)) as bed:
        bed.pick(bed.one)
        assert await served(bed, "a.example", first[0]) == 200
        assert await served(bed, "b.example.org", wild[0]) == 200
        with pytest.raises(aiohttp.ClientError):
            await served(bed, "other.example", first[0])
        assert await handshake(bed.gateway.port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await handshake(bed.gateway.port, ssl.TLSVersion.TLSv1_1)

        await bed.gateway.apply(secrets=secret("a", *second) + secret("w", *wild))
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await served(bed, "a.example", second[0]) == 200
                    break
                except aiohttp.ClientConnectorCertificateError:
                    await asyncio.sleep(0.05)
        assert await served(bed, "b.example.org", wild[0]) == 200

    for file in (tmp_path / "xds").rglob("sds/*.json"):  # over ADS there is none
        assert file.stat().st_mode & 0o007 == 0, "others may not read the key"
