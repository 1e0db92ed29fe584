"""The KV cache as sequences use it: which blocks each one holds, and when its blocks become findable by hash.

`BlockPool` counts blocks; this module knows sequences. It never decides who gets blocks: the scheduler asks whether a
prompt fits, claims, grows and releases. A listener, if there is one, is called for each change of the prefix cache.
"""

from typing import Protocol

from model_sim.engine.blocks import BlockPool
from model_sim.engine.profile import EngineConfig
from model_sim.engine.request import NeverFitsError, Request
from model_sim.engine.sequence import NEVER, Sequence


class CacheListener(Protocol):
    """Receives each change of the prefix cache: what a publisher of KV events needs."""

    def stored(self, request: Request, blocks: list[tuple[int, int]]) -> None:
        """Blocks, as (index in the request, hash), became findable."""

    def removed(self, block_hash: int) -> None: ...

    def cleared(self) -> None: ...


class KvCache:
    """Blocks of sequences. One owner: the scheduler."""

    __slots__ = ("_block_size", "_caching", "_listener", "pool")

    def __init__(self, config: EngineConfig, listener: CacheListener | None = None) -> None:
        self.pool = BlockPool(config.num_gpu_blocks, listener)
        self._block_size = config.block_size
        self._caching = config.enable_prefix_caching
        self._listener = listener

    def check(self, prompt_tokens: int) -> None:
        """Raise NeverFitsError for a prompt that not even an empty cache can hold."""
        needed = self._blocks(prompt_tokens)
        if needed > self.pool.capacity:
            raise NeverFitsError(needed, self.pool.capacity)

    def longest_answer(self, prompt_tokens: int) -> int:
        """The most tokens that an empty cache leaves to an answer: the KV of the last one is never computed."""
        return self.pool.capacity * self._block_size - prompt_tokens + 1

    def cached_tokens(self, blocks: int) -> int:
        """Tokens in so many full blocks."""
        return blocks * self._block_size

    def hits(self, sequence: Sequence) -> int:
        """Cached blocks that the sequence can reuse; its last token is always computed."""
        if not self._caching:
            return 0
        return self.pool.hits(sequence.request.block_hashes, (sequence.target - 1) // self._block_size)

    def fits(self, sequence: Sequence, hits: int) -> bool:
        """Whether all blocks of what the sequence must compute can be had now, `hits` of them from the cache."""
        pool = self.pool
        fresh = self._blocks(sequence.target) - hits
        return fresh <= pool.free - pool.idle_among(sequence.request.block_hashes[:hits])

    def claim(self, sequence: Sequence, hits: int) -> None:
        """Take all blocks of what the sequence must compute. It must fit."""
        sequence.shared = list(sequence.request.block_hashes[:hits])
        sequence.settled = hits
        self.pool.hold(sequence.shared)
        self.pool.take(self._blocks(sequence.target) - hits)

    def release(self, sequence: Sequence, tokens: int) -> None:
        """Give back what a sequence holds for so many tokens."""
        self.pool.release(sequence.shared, self._blocks(tokens) - len(sequence.shared))
        sequence.shared = []
        sequence.settled = 0

    def settle(self, sequence: Sequence, computed: int) -> None:
        """Make the blocks that `computed` tokens fill findable by hash."""
        request = sequence.request
        full = min(computed // self._block_size, len(request.block_hashes))
        if full <= sequence.settled or not self._caching:
            return
        first = sequence.settled
        shared = self.pool.share(request.block_hashes[first:full])
        sequence.shared.extend(shared)
        sequence.settled = full
        if shared and self._listener is not None:
            new = set(shared)
            blocks = [(i, request.block_hashes[i]) for i in range(first, full) if request.block_hashes[i] in new]
            self._listener.stored(request, blocks)

    def next_settling(self, sequence: Sequence) -> int:
        """The step number at which a decoding sequence has filled its next block that has a hash."""
        request = sequence.request
        if sequence.settled >= len(request.block_hashes) or not self._caching:
            return NEVER
        return (sequence.settled + 1) * self._block_size - request.prompt_tokens + sequence.base + 1

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._block_size)
