"""Publishes KV cache events over ZMQ as vLLM does: PUB socket, sequence numbers, replay over a ROUTER socket.

Needs the optional packages pyzmq and msgpack; imported only where events are enabled. One publisher per engine;
events of one moment go out as one batch.
"""

import asyncio
from collections import deque

import msgpack
import zmq
import zmq.asyncio

from gateway.service import clock, logs
from model_sim.api import kv_events
from model_sim.engine.request import Request
from model_sim.replica.settings import KvEventsConfig

HIGH_WATER_MARK = 100_000
"""Batches a slow subscriber may lag behind before it loses some: vLLM's default."""

log = logs.get(__name__)


class KvPublisher:
    """Collects the events of one engine's cache; `flush` sends those since the last flush."""

    def __init__(self, config: KvEventsConfig, rank: int, block_size: int) -> None:
        self._rank = rank
        self._block_size = block_size
        self._topic = config.topic.encode()
        self._events: list[kv_events.Event] = []
        self._removed: list[int] = []
        self._sequence = 0
        self._sent: deque[tuple[int, bytes]] = deque(maxlen=config.buffer_steps)
        self._lora_ids: dict[str, int] = {}
        self._context = zmq.asyncio.Context()
        self._pub = zmq.Context(self._context).socket(zmq.PUB)
        self._pub.set_hwm(HIGH_WATER_MARK)
        self._pub.setsockopt(zmq.LINGER, 0)
        endpoint = kv_events.offset_port(config.endpoint, rank)
        if kv_events.binds(endpoint):
            self._pub.bind(endpoint)
        else:
            self._pub.connect(endpoint)
        self._router: zmq.asyncio.Socket | None = None
        if config.replay_endpoint is not None:
            self._router = self._context.socket(zmq.ROUTER)
            self._router.setsockopt(zmq.LINGER, 0)
            self._router.bind(kv_events.offset_port(config.replay_endpoint, rank))

    def stored(self, request: Request, blocks: list[tuple[int, int]]) -> None:
        self._settle_removed()
        lora_id = None
        if request.adapter is not None:
            lora_id = self._lora_ids.setdefault(request.adapter, len(self._lora_ids) + 1)
        self._events += kv_events.stored(request, blocks, self._block_size, lora_id)

    def removed(self, block_hash: int) -> None:
        self._removed.append(block_hash)

    def cleared(self) -> None:
        self._settle_removed()
        self._events.append(kv_events.cleared())

    def flush(self) -> None:
        self._settle_removed()
        if not self._events:
            return
        payload = msgpack.packb([clock.wall(), self._events, self._rank])
        self._events = []
        number, self._sequence = self._sequence, self._sequence + 1
        self._pub.send_multipart((self._topic, number.to_bytes(8, "big"), payload))
        self._sent.append((number, payload))

    def _settle_removed(self) -> None:
        """Removals keep their place among the other events."""
        if self._removed:
            self._events.append(kv_events.removed(self._removed))
            self._removed = []

    async def replay(self) -> None:
        """Answer requests for past batches until cancelled: [id, empty, first sequence] in, batches and an end out."""
        router = self._router
        if router is None:
            return
        while True:
            frames = await router.recv_multipart()
            if len(frames) != 3:
                log.warning("replay request not understood", frames=len(frames))
                continue
            client, _, first = frames
            wanted = int.from_bytes(first, "big")
            for number, payload in tuple(self._sent):
                if number >= wanted:
                    await router.send_multipart((client, b"", number.to_bytes(8, "big"), payload))
            await router.send_multipart((client, b"", kv_events.END_SEQUENCE, b""))

    def close(self) -> None:
        self._pub.close()
        if self._router is not None:
            self._router.close()
        self._context.term()


def publishers(config: KvEventsConfig, ranks: int, block_size: int) -> tuple[KvPublisher, ...]:
    """One publisher for each engine of a server."""
    try:
        return tuple(KvPublisher(config, rank, block_size) for rank in range(ranks))
    except zmq.ZMQError as error:
        raise OSError(f"{config.endpoint}: {error}") from error


async def replay_all(all_publishers: tuple[KvPublisher, ...]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for publisher in all_publishers:
            tasks.create_task(publisher.replay(), name="kv event replay")
