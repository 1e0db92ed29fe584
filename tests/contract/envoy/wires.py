"""A way to a server that a test can stall, cut and mend: bytes pass as they are, or wait, or nobody listens."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.contract.envoy.fakes import HOST


@dataclass
class Wire:
    """One more address of a server, for the same ports. A stalled wire accepts connections and passes nothing."""

    address: str
    ports: Sequence[int]
    breaks_off: bool = False  # each new connection, as soon as something comes over it
    _is_cut: bool = False
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def stall(self) -> None:
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    async def mend(self) -> None:
        """Listen."""
        self._is_cut = False
        for port in self.ports:

            async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int = port) -> None:
                await self._connect(reader, writer, target)

            self._servers.append(await asyncio.start_server(pass_on, self.address, port))

    async def cut(self) -> None:
        """Break every connection, and refuse new ones. One that was accepted just before ends as its task begins."""
        self._is_cut = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        for writer in tuple(self._writers):
            writer.transport.abort()
        while self._writers:  # each is let go of by its own task
            await asyncio.sleep(0)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            if self.breaks_off:
                with suppress(ConnectionError):
                    await reader.read(1)
            else:
                await self._join(reader, writer, target)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        there = await asyncio.open_connection(HOST, target)
        self._writers.add(there[1])
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1]))
                group.create_task(self._pump(there[0], writer))
        finally:
            self._writers.discard(there[1])

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def wired(address: str, ports: Sequence[int]) -> AsyncIterator[Wire]:
    """A wire that is whole, until the end."""
    wire = Wire(address, ports)
    wire.resume()
    await wire.mend()
    try:
        yield wire
    finally:
        wire.resume()
        await wire.cut()
