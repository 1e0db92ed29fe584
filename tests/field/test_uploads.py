"""Uploads that never end cost the others nothing, and Envoy no more memory than it may have, on a real Envoy.

https://github.com/envoyproxy/envoy/issues/39514
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from controlplane.options import Options
from tests.contract.envoy.conftest import Bed, MakeBed, raw
from tests.contract.envoy.fakes import HOST

pytestmark = [pytest.mark.envoy, pytest.mark.grpcio]

MEGABYTE = 1024 * 1024
UPLOADS = 200
SENT = 6 * MEGABYTE  # of each body, which says that it is twice as long; in all more than Envoy's heap may be
BOUND = 1024 * MEGABYTE  # of the process, as compose.yaml limits it


def resident(bed: Bed) -> int:
    """Bytes of memory that Envoy's process has."""
    assert bed.gateway.process is not None
    pages = int(Path(f"/proc/{bed.gateway.process.pid}/statm").read_text().split()[1])
    return pages * 4096


async def stall(bed: Bed) -> asyncio.StreamWriter:
    """An upload that stops in the middle, if the gateway lets it get there."""
    _, writer = await asyncio.open_connection(HOST, bed.gateway.port)
    head = "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {2 * SENT}\r\n\r\n".encode() + b'{"model": "open", "prompt": "')
    with suppress(ConnectionError):
        for _ in range(SENT // MEGABYTE):
            writer.write(b"x" * MEGABYTE)
            await writer.drain()
    return writer


async def test_two_hundred_slow_uploads_harm_nobody(bed: Bed) -> None:
    bed.pick(bed.one)
    most, statuses = 0, []
    writers: list[asyncio.StreamWriter] = []
    for _ in range(UPLOADS // 10):
        writers += await asyncio.gather(*(stall(bed) for _ in range(10)))
        statuses.append((await bed.ask()).status)
        most = max(most, resident(bed))
        await asyncio.sleep(0.25)  # in all some 200 MB a second at most
    statuses += [(await bed.ask()).status for _ in range(20)]
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    assert statuses == [200] * len(statuses)
    assert most < BOUND


async def test_an_answer_may_be_silent_for_longer_than_an_upload(bed: Bed) -> None:
    bed.one.delay = 12.0  # seconds, of which an upload has 10
    bed.pick(bed.one)

    assert (await bed.ask()).status == 200


async def test_a_request_that_does_not_arrive_in_time_is_told_so(make_bed: MakeBed) -> None:
    async with make_bed(Options(upload_timeout=0.5)) as bed:
        head = (
            b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        status, body = await raw(bed, head)

    assert status == 408
    assert b'"code":"invalid_request"' in body
