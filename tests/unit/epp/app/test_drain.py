"""The wait for a model server that drains, in virtual time: how long it takes, and what it answers."""

import asyncio

import pytest

from epp.app.drain import SHARING_SECONDS, WAITING_LIMIT, Answer, Drain

SERVER = "10.0.0.1:8000"


class Server:
    """A model server whose last request ends at a moment; time passes as somebody waits."""

    def __init__(self, idle_at: float) -> None:
        self.now = 100.0
        self.idle_at = 100.0 + idle_at
        self.orders: list[tuple[str, float]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def begin(self, server: str, wait: float, now: float) -> bool:
        assert now == self.now
        self.orders.append((server, wait))
        return server == SERVER

    def in_flight(self, server: str) -> int:
        assert server == SERVER
        return 0 if self.now >= self.idle_at else 3


async def ask(server: Server, wait: str | None = None, *, name: str = SERVER, settles: float = 0.0) -> Answer:
    return await Drain(server, server.clock, server.sleep, settles).answer(name, wait)


async def test_an_idle_server_may_stop_at_once() -> None:
    assert await ask(Server(0.0)) == (200, {"server": SERVER, "in_flight": 0, "waited_seconds": 0.0})


async def test_the_answer_comes_soon_after_the_last_request_ended() -> None:
    status, found = await ask(Server(17.0), "1m")
    assert status == 200
    assert found["waited_seconds"] == pytest.approx(17.0, abs=0.2)


async def test_the_wait_is_bounded() -> None:
    server = Server(300.0)
    assert await ask(server, "45s") == (504, {"server": SERVER, "in_flight": 3, "waited_seconds": 45.0})
    assert server.orders == [(SERVER, 45.0)]


async def test_a_wait_of_nothing_only_says_how_it_is() -> None:
    assert (await ask(Server(300.0), "0"))[1]["waited_seconds"] == 0.0


async def test_among_replicas_the_first_moment_proves_nothing() -> None:
    assert (await ask(Server(0.0), settles=SHARING_SECONDS))[1]["waited_seconds"] == pytest.approx(
        SHARING_SECONDS, abs=0.2
    )


async def test_a_picker_that_starts_answers_once_it_knows_what_others_know() -> None:
    server = Server(9.0)
    drain = Drain(server, server.clock, server.sleep, 0.0, is_warm=lambda: server.now >= 104.0)
    status, found = await drain.answer(SERVER, None)
    assert status == 200
    assert found["waited_seconds"] == pytest.approx(9.0, abs=0.2)


async def test_a_server_that_is_unknown_while_the_picker_starts_is_looked_for_again() -> None:
    server = Server(0.0)
    drain = Drain(server, server.clock, server.sleep, 0.0, is_warm=lambda: server.now >= 102.0)
    assert (await drain.answer(SERVER, None))[1]["waited_seconds"] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("wait", ["soon", "16m", "-1s", "nan", "10"])
async def test_a_wait_that_is_no_duration_or_too_long_drains_nothing(wait: str) -> None:
    server = Server(0.0)
    status, found = await ask(server, wait)
    assert (status, server.orders) == (400, [])
    assert repr(wait) in str(found["error"])


async def test_a_server_of_no_pool_is_not_found() -> None:
    status, found = await ask(Server(0.0), name="10.9.9.9:8000")
    assert status == 404
    assert "10.9.9.9:8000" in str(found["error"])


async def test_so_many_drains_wait_at_a_time_and_no_more() -> None:
    server, stopped = Server(300.0), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await stopped.wait()

    drain = Drain(server, server.clock, sleep, 0.0)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(WAITING_LIMIT):
            tasks.create_task(drain.answer(SERVER, None))
        await asyncio.sleep(0)
        assert (await drain.answer(SERVER, None))[0] == 429
        server.idle_at = server.now
        stopped.set()
    assert (await drain.answer(SERVER, None))[0] == 200
