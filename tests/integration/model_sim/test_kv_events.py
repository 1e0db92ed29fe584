"""KV cache events over real ZMQ sockets, read as a subscriber of vLLM's would."""

import asyncio
import json
from array import array
from typing import Any

import msgpack
import zmq
import zmq.asyncio

from model_sim.engine.blocks import block_hashes, chain_root
from tests.conftest import free_ports

BLOCK = 4


def config(publish: int, replay: int) -> str:
    return json.dumps(
        {
            "enable_kv_cache_events": True,
            "publisher": "zmq",
            "endpoint": f"tcp://*:{publish}",
            "replay_endpoint": f"tcp://*:{replay}",
            "topic": "kv@pod-a@sim-model",
        }
    )


async def next_batch(subscriber: zmq.asyncio.Socket) -> tuple[bytes, int, list[Any]]:
    async with asyncio.timeout(10):
        topic, sequence, payload = await subscriber.recv_multipart()
    stamp, events, rank = msgpack.unpackb(payload)
    assert stamp > 1.5e9
    assert rank == 0
    return topic, int.from_bytes(sequence, "big"), events


async def test_blocks_are_announced_removed_and_cleared(serve):
    publish, replay = free_ports(2)
    arguments = ("--kv-events-config", config(publish, replay), "--block-size", str(BLOCK), "--num-gpu-blocks", "4")
    context = zmq.asyncio.Context()
    subscriber = context.socket(zmq.SUB)
    try:
        async with serve(*arguments, "--lora-modules", "tuned=/t") as server:
            subscriber.connect(f"tcp://127.0.0.1:{publish}")
            subscriber.subscribe(b"kv@")
            await asyncio.sleep(0.2)  # a subscription takes its time to reach the publisher
            prompt = list(range(100, 113))

            async def complete(**body: object) -> None:
                async with server.http.post(
                    f"{server.url}/v1/completions", json={"prompt": prompt, "max_tokens": 1, **body}
                ) as response:
                    assert response.status == 200

            await complete()
            topic, first, stored = await next_batch(subscriber)
            prompt = list(range(200, 209))
            await complete(model="tuned")
            _, second, replaced = await next_batch(subscriber)
            async with server.http.post(f"{server.url}/reset_prefix_cache") as response:
                assert response.status == 200
            _, third, cleared = await next_batch(subscriber)

    finally:
        subscriber.close(linger=0)
        context.term()

    expected = block_hashes(array("I", range(100, 113)).tobytes(), BLOCK, root=chain_root(None, ""))
    assert (topic, first, second, third) == (b"kv@pod-a@sim-model", 0, 1, 2)
    assert stored == [["BlockStored", expected, None, list(range(100, 112)), BLOCK, None, "GPU", None]]
    assert [event[0] for event in replaced] == ["BlockRemoved", "BlockStored"]
    assert replaced[0][1] == list(reversed(expected))[: len(replaced[0][1])]
    assert replaced[1][5:] == [1, "GPU", "tuned"]
    assert cleared == [["AllBlocksCleared"]]


async def test_a_replay_ends_with_its_mark(serve):
    publish, replay = free_ports(2)
    context = zmq.asyncio.Context()
    dealer = context.socket(zmq.DEALER)
    try:
        async with serve("--kv-events-config", config(publish, replay), "--block-size", str(BLOCK)) as server:
            for start in (0, 50, 100):
                body = {"prompt": list(range(start, start + 8)), "max_tokens": 1}
                async with server.http.post(f"{server.url}/v1/completions", json=body) as response:
                    assert response.status == 200
            dealer.connect(f"tcp://127.0.0.1:{replay}")
            await dealer.send_multipart((b"", (1).to_bytes(8, "big")))
            numbers: list[int] = []
            async with asyncio.timeout(10):
                while not numbers or numbers[-1] != -1:
                    _, number, payload = await dealer.recv_multipart()
                    numbers.append(int.from_bytes(number, "big", signed=True))
            assert payload == b""
    finally:
        dealer.close(linger=0)
        context.term()

    assert numbers == [1, 2, -1]
