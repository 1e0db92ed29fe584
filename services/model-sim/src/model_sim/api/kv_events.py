"""KV cache events as vLLM puts them on the wire, before msgpack: arrays in the order of vLLM's structs.

    batch         [ts, [event, ...], data_parallel_rank]
    BlockStored   ["BlockStored", hashes, parent hash or None, token ids, block size, lora id or None, "GPU", lora name]
    BlockRemoved  ["BlockRemoved", hashes, "GPU"]
    cleared       ["AllBlocksCleared"]

Hashes are 64-bit integers, which vLLM publishes too; consumers that hash blocks themselves use the token ids.
"""

from collections.abc import Sequence
from typing import Any

from model_sim.engine.request import Request

MEDIUM = "GPU"
END_SEQUENCE = (-1).to_bytes(8, "big", signed=True)
"""Marks the end of a replay."""

Event = list[Any]


def stored(request: Request, blocks: Sequence[tuple[int, int]], block_size: int, lora_id: int | None) -> list[Event]:
    """One event per run of neighbouring blocks."""
    events: list[Event] = []
    run: list[tuple[int, int]] = []
    for index, block_hash in blocks:
        if run and index != run[-1][0] + 1:
            events.append(_stored_run(request, run, block_size, lora_id))
            run = []
        run.append((index, block_hash))
    if run:
        events.append(_stored_run(request, run, block_size, lora_id))
    return events


def _stored_run(request: Request, run: Sequence[tuple[int, int]], block_size: int, lora_id: int | None) -> Event:
    first, last = run[0][0], run[-1][0]
    tokens = list(request.tokens[first * block_size : (last + 1) * block_size])
    parent = request.block_hashes[first - 1] if first else None
    hashes = [block_hash for _, block_hash in run]
    return ["BlockStored", hashes, parent, tokens, block_size, lora_id, MEDIUM, request.adapter]


def removed(hashes: Sequence[int]) -> Event:
    return ["BlockRemoved", list(hashes), MEDIUM]


def cleared() -> Event:
    return ["AllBlocksCleared"]


def offset_port(endpoint: str, rank: int) -> str:
    """vLLM's rule: each data-parallel rank has the next port (or, in process, a name of its own)."""
    if not rank:
        return endpoint
    if endpoint.startswith("inproc"):
        return f"{endpoint}_dp{rank}"
    base, _, port = endpoint.rpartition(":")
    return f"{base}:{int(port) + rank}"


def binds(endpoint: str) -> bool:
    """vLLM's rule: a wildcard or a local address is bound, anything else connected to."""
    return "*" in endpoint or "::" in endpoint or endpoint.startswith(("ipc://", "inproc://"))
