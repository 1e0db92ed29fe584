"""Large bodies in pieces that come in the rounds of the loop that this test wants: which go on receiving."""

import asyncio

import pytest

from epp.domain import Request, Verdict
from epp.transports.servers.http_connection import Connection, OpenConnections, Shared
from epp.transports.servers.turns import TURNS, Turns
from gateway.rpc.limits import LARGE_MESSAGE_BYTES, LARGE_STREAMS
from tests.integration.epp.transports.http_peer import FakePicker, question, until

pytestmark = pytest.mark.timeout(30)

LARGE = question(body=bytes(LARGE_MESSAGE_BYTES + 100))


class Wire(asyncio.Transport):
    """Takes what is written, and has whether the connection reads on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self.is_aborted = False
        self.written = b""

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


class Door:
    """Connections of one transport."""

    def __init__(self) -> None:
        self.picker = FakePicker()
        self._turns = Turns(asyncio.get_running_loop())
        self._shared = Shared(self.picker, lambda: 0.0, self.picker)
        self._connections = OpenConnections()

    def connect(self) -> tuple[Connection, Wire]:
        connection, wire = Connection(self._shared, self._connections, self._turns), Wire()
        connection.connection_made(wire)
        return connection, wire

    def fill(self) -> list[Connection]:
        """As many connections as may receive large bodies, in the middle of theirs."""
        found = [self.connect()[0] for _ in range(LARGE_STREAMS)]
        for each in found:
            each.data_received(LARGE[:-100])
        return found


async def test_a_large_body_keeps_its_turn_until_it_is_whole_in_however_many_pieces_it_comes() -> None:
    door = Door()
    holders = door.fill()
    waiting, wire = door.connect()
    waiting.data_received(LARGE[:-100])
    assert not wire.is_read

    for _ in range(2 * TURNS):
        holders[0].data_received(b"\x00")
        await asyncio.sleep(0)
    assert not wire.is_read, "the first two are still being received"

    holders[0].data_received(bytes(100 - 2 * TURNS))
    await until(lambda: wire.is_read)
    assert len(door.picker.requests) == 1


async def test_a_large_body_that_is_whole_before_its_turn_is_answered_and_its_connection_reads_on() -> None:
    door = Door()
    door.fill()
    small, _ = door.connect()
    late, wire = door.connect()
    for _ in range(TURNS):
        small.data_received(question())
    picked = len(door.picker.requests)
    assert picked < TURNS, "the round is full"

    late.data_received(LARGE[:-100])
    await until(lambda: len(door.picker.requests) > picked)  # the next round has begun
    late.data_received(LARGE[-100:])
    await until(lambda: wire.written.startswith(b"HTTP/1.1 200"))
    assert wire.is_read


@pytest.mark.parametrize("size", [LARGE_MESSAGE_BYTES + 100, 2])
async def test_a_request_that_fails_in_its_turn_ends_its_connection_and_none_of_the_others(size: int) -> None:
    door, failures = Door(), list[BaseException | None]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context.get("exception")))
    pick = door.picker.pick

    def fail_once(request: Request) -> Verdict:
        if request.path != "/fails":
            return pick(request)
        raise RuntimeError(request.path)

    door.picker.pick = fail_once  # type: ignore[method-assign]
    small, _ = door.connect()
    for _ in range(TURNS):
        small.data_received(question())
    (failing, ended), following = door.connect(), [door.connect() for _ in range(2 * TURNS)]
    failing.data_received(question("/fails", bytes(size)))
    for connection, _ in following:
        connection.data_received(question(body=bytes(size)))
    for _, wire in following:
        await until(lambda wire=wire: wire.written.startswith(b"HTTP/1.1 200"))  # type: ignore[misc]
        assert not wire.is_aborted
    assert [str(each) for each in failures] == ["/fails"]
    assert ended.is_aborted
