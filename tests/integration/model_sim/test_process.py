"""The command as a process: exit codes, draining on SIGTERM, the fleet, a crash on order."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp

from tests.conftest import free_ports

CHAT = {"messages": [{"role": "user", "content": "hello"}], "ignore_eos": True, "stream": True}


@contextlib.asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`model-sim` with these arguments, killed at the end if it still runs."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "model_sim", *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def wait_ready(session: aiohttp.ClientSession, port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)


async def test_sigterm_lets_a_stream_finish_refuses_new_requests_and_exits_0():
    [port] = free_ports(1)
    async with (
        process("serve", "m", "--host", "127.0.0.1", "--port", str(port), "--profile", "demo") as server,
        aiohttp.ClientSession() as session,
    ):
        await wait_ready(session, port)
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with session.post(url, json={**CHAT, "max_tokens": 120}) as stream:
            await stream.content.readline()
            server.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            async with session.post(url, json=CHAT) as refused:
                assert refused.status == 503
            body = await stream.text()
        async with asyncio.timeout(10):
            status = await server.wait()

    assert body.endswith("data: [DONE]\n\n")
    assert status == 0


async def test_a_stream_longer_than_the_shutdown_timeout_is_cut():
    [port] = free_ports(1)
    arguments = ("--host", "127.0.0.1", "--port", str(port), "--profile", "demo", "--shutdown-timeout", "0.3")
    async with process("serve", "m", *arguments) as server, aiohttp.ClientSession() as session:
        await wait_ready(session, port)
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with session.post(url, json={**CHAT, "max_tokens": 20_000}) as stream:
            await stream.content.readline()
            server.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                status = await server.wait()

    assert status == 0


async def test_a_bad_option_exits_2_with_one_line_that_names_it():
    for arguments, named in (
        (("serve", "m", "--max-num-sequs", "1"), b"unknown option --max-num-sequs; did you mean --max-num-seqs?"),
        (("serve", "m", "--tokenizer-file", "/absent.json"), b"argument --tokenizer-file"),
    ):
        async with process(*arguments) as server:
            _, stderr = await server.communicate()

        assert server.returncode == 2
        assert named in stderr
        assert stderr.count(b"\n") == 1


async def test_a_busy_port_exits_2():
    [port] = free_ports(1)
    holder = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with holder, process("serve", "m", "--host", "127.0.0.1", "--port", str(port)) as server:
        _, stderr = await server.communicate()

    assert server.returncode == 2
    assert b"argument --port: cannot listen on 127.0.0.1" in stderr


async def test_a_fleet_is_many_servers_with_names_and_metrics_of_their_own():
    base = free_ports(5)[0]
    arguments = ("--size", "5", "--base-port", str(base), "--host", "127.0.0.1", "--pod-name", "sim", "m")
    async with process("fleet", *arguments) as fleet, aiohttp.ClientSession() as session:
        await wait_ready(session, base + 4)
        pods = []
        for port in range(base, base + 5):
            body = {"prompt": "x", "max_tokens": port - base + 1}
            async with session.post(f"http://127.0.0.1:{port}/v1/completions", json=body) as response:
                pods.append(response.headers["x-inference-pod"])
        generated = []
        for port in range(base, base + 5):
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                lines = (await response.text()).splitlines()
            generated += [line.rpartition(" ")[2] for line in lines if line.startswith("vllm:generation_tokens_total")]
        fleet.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            status = await fleet.wait()

    assert pods == [f"sim-{index}" for index in range(5)]
    assert generated == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    assert status == 0


async def test_a_crash_on_order_ends_the_process_with_a_failure():
    [port] = free_ports(1)
    faults = json.dumps({"crash_after": 2})
    async with (
        process("serve", "m", "--host", "127.0.0.1", "--port", str(port), "--faults", faults) as server,
        aiohttp.ClientSession() as session,
    ):
        await wait_ready(session, port)
        for _ in range(2):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(f"http://127.0.0.1:{port}/v1/completions", json={"prompt": "x"}) as response:
                    await response.read()
        async with asyncio.timeout(10):
            status = await server.wait()

    assert status == 1
