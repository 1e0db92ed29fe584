"""The KV cache as counted blocks, with prefix reuse by chained block hash.

Blocks have no identity but their hash: a private block (partly filled, or a second copy of a cached one) is only
counted, so memory grows with what is cached, never with capacity. Unreferenced cached blocks form an LRU; the tail
of a chain is released before its head and so is evicted first. Every operation is O(1) per block.
Blocks that hold nothing reusable are handed out before any cached block is evicted.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import xxhash

HASH_BYTES = 8


class Listener(Protocol):
    """Hears what enters and leaves the prefix cache."""

    def removed(self, block_hash: int) -> None: ...

    def cleared(self) -> None: ...


class BlockPool:
    """Who holds how many blocks, and which hashes are cached. One owner: the engine."""

    __slots__ = ("_idle", "_listener", "_references", "capacity", "used")

    def __init__(self, capacity: int, listener: Listener | None = None) -> None:
        self.capacity = capacity
        self.used = 0
        self._references: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._listener = listener

    @property
    def free(self) -> int:
        """Blocks that can be handed out, cached ones that nobody holds included."""
        return self.capacity - self.used

    @property
    def cached(self) -> int:
        """Blocks findable by hash."""
        return len(self._references) + len(self._idle)

    def hits(self, hashes: Sequence[int], limit: int) -> int:
        """Length of the contiguous cached prefix of the first `limit` hashes."""
        references, idle = self._references, self._idle
        for index in range(min(limit, len(hashes))):
            block_hash = hashes[index]
            if block_hash not in references and block_hash not in idle:
                return index
        return min(limit, len(hashes))

    def idle_among(self, hashes: Sequence[int], count: int) -> int:
        """How many of the first `count` cached hashes nobody holds: taking them uses up free blocks too."""
        idle = self._idle
        return sum(hashes[index] in idle for index in range(count))

    def hold(self, block_hash: int) -> None:
        """Take a reference on a cached block."""
        references = self._references
        if block_hash in references:
            references[block_hash] += 1
        else:
            del self._idle[block_hash]
            references[block_hash] = 1
            self.used += 1

    def take(self, count: int) -> None:
        """Take `count` private blocks, evicting the longest unused cached blocks where nothing else is left."""
        assert count <= self.capacity - self.used
        self.used += count
        idle = self._idle
        while self.used + len(idle) > self.capacity:
            block_hash, _ = idle.popitem(last=False)
            if self._listener is not None:
                self._listener.removed(block_hash)

    def share(self, block_hash: int) -> bool:
        """Make a private block findable; False where another block has this hash already."""
        if block_hash in self._references or block_hash in self._idle:
            return False
        self._references[block_hash] = 1
        return True

    def release(self, shared: Sequence[int], private: int) -> None:
        """Give back references (chain order) and private blocks."""
        self.used -= private
        references = self._references
        for block_hash in reversed(shared):
            count = references[block_hash] - 1
            if count:
                references[block_hash] = count
            else:
                del references[block_hash]
                self._idle[block_hash] = None
                self.used -= 1

    def reset(self) -> bool:
        """Forget every cached block; refused while any block is held."""
        if self.used:
            return False
        self._idle.clear()
        if self._listener is not None:
            self._listener.cleared()
        return True


def block_hashes(token_bytes: bytes, block_size: int, *, root: bytes = b"") -> list[int]:
    """Chained 64-bit hashes of the full blocks in `token_bytes` (4 bytes per token id).

    `root` holds what must keep chains apart: adapter and cache salt.
    """
    width = 4 * block_size
    digest = xxhash.xxh3_64_intdigest
    parent = digest(root)
    hashes = []
    for start in range(0, len(token_bytes) - width + 1, width):
        parent = digest(token_bytes[start : start + width], parent)
        hashes.append(parent)
    return hashes


def chain_root(adapter: str | None, salt: str) -> bytes:
    """The root of a chain of block hashes: equal prompts share blocks only under equal adapter and salt."""
    return f"{adapter or ''}\0{salt}".encode()
