"""The KV cache as counted blocks, with prefix reuse by chained block hash.

A block is identified by its hash alone. A private block (partly filled, or a second copy of a cached one) is only
counted, so memory grows with the number of cached blocks and not with the capacity. Cached blocks without a reference
form an LRU list: the tail of a chain is released before its head and so is evicted first. Blocks without reusable
content are used up before any cached block is evicted. Every operation is O(1) per block.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import xxhash


class Listener(Protocol):
    """Receives what leaves the prefix cache."""

    def removed(self, block_hash: int) -> None: ...

    def cleared(self) -> None: ...


class BlockPool:
    """Counts of blocks, and the cached hashes with their references. One owner: the cache."""

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

    def idle_among(self, hashes: Sequence[int]) -> int:
        """How many of these cached hashes nobody holds: taking them uses up free blocks too."""
        references = self._references
        return len(hashes) - sum(map(references.__contains__, hashes))

    def hold(self, hashes: Sequence[int]) -> None:
        """Take a reference on each of these cached blocks."""
        references, idle = self._references, self._idle
        before = len(idle)
        for block_hash in hashes:
            if block_hash in references:
                references[block_hash] += 1
            else:
                del idle[block_hash]
                references[block_hash] = 1
        self.used += before - len(idle)

    def take(self, count: int) -> None:
        """Take `count` private blocks, evicting the longest unused cached blocks where nothing else is left."""
        assert count <= self.capacity - self.used
        self.used += count
        idle = self._idle
        while self.used + len(idle) > self.capacity:
            block_hash, _ = idle.popitem(last=False)
            if self._listener is not None:
                self._listener.removed(block_hash)

    def share(self, hashes: Sequence[int]) -> list[int]:
        """Make private blocks findable; those that are, since no other block had their hash already."""
        references, idle = self._references, self._idle
        shared = []
        for block_hash in hashes:
            if block_hash not in references and block_hash not in idle:
                references[block_hash] = 1
                shared.append(block_hash)
        return shared

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

    `root` keeps the chains of different adapters and cache salts apart.
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
