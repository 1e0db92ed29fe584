"""The door on a real socket, with a picker that answers as the test wants, and a peer that writes bytes to it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from epp.domain import EndpointId, Outcome, Pick, PickId, PoolId, Reply, Request, Ticket, Verdict, Waiter
from epp.transports.http.limits import Limits
from epp.transports.servers.http import HttpTransport
from epp.transports.servers.http_connection import Shared
from gateway.service import clock
from gateway.wire.errors import ErrorCode, Rejection


class FakePicker:
    """Picks one endpoint; paths say what else to do. Counts what is reserved."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reserved: set[PickId] = set()
        self.unused: list[PickId] = []
        self.statuses: list[int] = []
        self.waiting: dict[Ticket, Waiter] = {}
        self.cancelled: list[Ticket] = []

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        self.requests.append(request)
        if request.path == "/waits":
            ticket = Ticket(len(self.requests))
            self.waiting[ticket] = waiter
            return ticket
        return self.pick(request)

    def cancel(self, ticket: Ticket, now: float) -> None:
        del self.waiting[ticket]
        self.cancelled.append(ticket)

    def decide(self, verdict: Verdict) -> None:
        """The oldest request that waits has its verdict."""
        ticket = next(iter(self.waiting))
        if isinstance(verdict, Pick):
            self.reserved.add(verdict.id)
        self.waiting.pop(ticket).decide(verdict, clock.monotonic())

    def pick(self, request: Request) -> Verdict:
        if request.path == "/v1/models":
            return Reply(b'{"object":"list"}')
        if request.path == "/large":
            return Reply(b"a" * 20_000_000)
        if request.path == "/full":
            return Rejection(429, ErrorCode.POOL_SATURATED, "full", retry_after=2)
        if request.path == "/empty":
            return Rejection(503, ErrorCode.NO_READY_ENDPOINT, "nobody is there")
        id_ = PickId(f"epp-{len(self.requests)}")
        self.reserved.add(id_)
        body, served = (b"{}", "other") if request.path == "/rewritten" else (None, None)
        return Pick(id_, PoolId("a/b"), (EndpointId("10.0.0.1:8000"),), body=body, model="m", served_model=served)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        if pick_id in self.reserved:
            assert outcome is Outcome.UNUSED
            self.reserved.remove(pick_id)
            self.unused.append(pick_id)

    def answered(self, status: int) -> None:
        self.statuses.append(status)


@asynccontextmanager
async def transport(picker: FakePicker, limits: Limits | None = None, *, is_ready: bool = True) -> AsyncIterator[int]:
    shared = Shared(
        picker,
        clock.monotonic,
        picker,
        base_models=lambda: {"m": "base"},
        is_ready=lambda: is_ready,
        limits=limits or Limits(),
    )
    async with HttpTransport(shared).serving("127.0.0.1", 0) as port:
        assert port is not None
        yield port


def question(path: str = "/v1/completions", body: bytes = b"{}", *lines: str) -> bytes:
    head = (f"POST {path} HTTP/1.1", "host: epp", f"content-length: {len(body)}", *lines, "", "")
    return "\r\n".join(head).encode() + body


class Peer:
    """A raw connection to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        start, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        return int(start.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True

    def reset(self) -> None:
        """Close with a reset, as a process does that dies with bytes unread."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.005)
