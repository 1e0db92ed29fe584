"""Which endpoint holds which prompt blocks: one bitmask per block, one LRU per endpoint. Pure.

A prompt is a chain of block hashes, each seeded by the one before it, so equal hashes mean equal prompts up to there.
A match is the longest unbroken run of blocks from the start. The cost of a look-up is one dictionary access per block
plus one step per endpoint, whatever the number of endpoints that hold a block. Memory is bounded by the sum of the
endpoints' capacities: about 0.15 GB per million blocks held (measured by the bench; see docs/scheduling.md).
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

import xxhash

Stamp = int

# Upstream's default, and the bound where neither the configuration nor the engine says more: 31 250 blocks of 64 tokens
# are 2 million tokens, the KV cache of a small model on an 80 GB GPU.
DEFAULT_CAPACITY_BLOCKS = 31_250
# No engine can make one endpoint's share larger than this, whatever it reports: 64 million tokens.
LARGEST_CAPACITY_BLOCKS = 1_000_000
# Stamps without a chain that may stand in an endpoint's order before it is cleared of them.
_ORDER_SLACK = 64
# Blocks of one prompt bear few different stamps, one for each turn that touched a part of it: up to so many, counting
# each costs less than a table of all.
_FEW_STAMPS = 8


def chain(canonical: bytes, seed: bytes, block_bytes: int, max_blocks: int) -> tuple[int, ...]:
    """Hash a prompt's full blocks, each seeded by its predecessor; slices are the only copies."""
    digest = xxhash.xxh3_64_intdigest
    value = digest(seed, block_bytes)
    end = min(len(canonical) // block_bytes, max_blocks) * block_bytes
    return tuple([value := digest(canonical[at : at + block_bytes], value) for at in range(0, end, block_bytes)])


def seed_of(target_model: str, cache_salt: str) -> bytes:
    """What must be equal beside the prompt: the model or adapter, and the salt that a tenant chose."""
    return f"{target_model}\0{cache_salt}".encode()


class _Holding:
    """What one endpoint holds: each block with the stamp of its last touch, and per stamp the chain touched then.

    A chain is forgotten when none of its blocks bears its stamp any more, and shortened when less than half do, so that
    chains never take more than twice the room of what is held.
    """

    __slots__ = ("capacity", "chains", "order", "stamps", "touched")

    def __init__(self) -> None:
        self.capacity = DEFAULT_CAPACITY_BLOCKS
        self.stamps: dict[int, Stamp] = {}
        self.chains: dict[Stamp, Sequence[int]] = {}
        self.touched: dict[Stamp, int] = {}  # blocks that bear the stamp
        self.order: deque[Stamp] = deque()  # oldest first; those without a chain are skipped

    def touch(self, blocks: Sequence[int], stamp: Stamp) -> tuple[Stamp | None, ...]:
        """Give blocks a new stamp; their old ones are returned, None for blocks that are new."""
        before = tuple(map(self.stamps.get, blocks))  # a tuple of numbers costs the garbage collector nothing
        self.stamps.update(dict.fromkeys(blocks, stamp))
        self.chains[stamp] = blocks
        self.touched[stamp] = len(blocks)
        self.order.append(stamp)
        olds = set(before)
        counts = Counter(before) if len(olds) > _FEW_STAMPS else {old: before.count(old) for old in olds}
        for old, count in counts.items():
            if old is not None:
                self._fade(old, count)
        if len(self.order) > 2 * len(self.chains) + _ORDER_SLACK:
            self.order = deque(each for each in self.order if each in self.chains)
        return before

    def drop(self, block: int) -> bool:
        """Let go of a block; False if it was not held."""
        old = self.stamps.pop(block, None)
        if old is None:
            return False
        self._fade(old, 1)
        return True

    def oldest(self) -> Stamp | None:
        """The stamp of the least recently touched chain."""
        while self.order and self.order[0] not in self.chains:
            self.order.popleft()
        return self.order[0] if self.order else None

    def shed(self, most: int) -> Sequence[int]:
        """Let go of up to so many blocks of the least recently touched chain, from its end."""
        stamp = self.oldest()
        if stamp is None:
            return []
        chain = self.chains[stamp]
        if self.touched[stamp] == len(chain) <= most:  # nothing of it was touched again, and all of it may go
            del self.chains[stamp], self.touched[stamp]
            for each in chain:
                del self.stamps[each]
            return chain
        if not isinstance(chain, list):  # others hold it, too
            chain = list(chain)
        gone: list[int] = []
        while chain and len(gone) < most:
            block: int = chain.pop()
            if self.stamps.get(block) == stamp:
                del self.stamps[block]
                gone.append(block)
        left = self.touched[stamp] - len(gone)
        self.chains[stamp], self.touched[stamp] = chain, left
        if not left:
            del self.chains[stamp], self.touched[stamp]
        return gone

    def _fade(self, stamp: Stamp, count: int) -> None:
        left = self.touched[stamp] - count
        if not left:
            del self.chains[stamp], self.touched[stamp]
            return
        self.touched[stamp] = left
        chain = self.chains[stamp]
        if left * 2 < len(chain):
            self.chains[stamp] = tuple([block for block in chain if self.stamps.get(block) == stamp])


class PrefixIndex:
    """Blocks by endpoint slot. Slots are small integers that the pool hands out; a slot is reused after `forget`."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._holdings: dict[int, _Holding] = {}
        self._clock: Stamp = 0  # counts learnings, so that ages of blocks compare

    def __len__(self) -> int:
        return len(self._masks)

    def held(self, slot: int) -> int:
        """How many blocks one endpoint is believed to hold."""
        return len(self._holdings[slot].stamps) if slot in self._holdings else 0

    def holders(self, block: int) -> int:
        """How many endpoints are believed to hold a block."""
        return self._masks.get(block, 0).bit_count()

    def match(self, blocks: Sequence[int]) -> Mapping[int, int]:
        """Length of the longest unbroken run per slot; slots without any are absent."""
        if not blocks:
            return {}
        masks = self._masks
        alive = masks.get(blocks[0], 0)
        if not alive:
            return {}
        lengths: dict[int, int] = {}
        for index, block in enumerate(blocks):
            still = alive & masks.get(block, 0)
            if still != alive:
                _note(lengths, alive ^ still, index)
                if not still:
                    return lengths
                alive = still
        _note(lengths, alive, len(blocks))
        return lengths

    def learn(self, slot: int, blocks: Sequence[int]) -> Sequence[Stamp | None]:
        """The endpoint is about to hold these. Later blocks count as older, as in the engine.

        Returned is when each block was last touched there, None where it was not held.
        """
        if not blocks:
            return ()
        self._clock += 1
        holding = self._holding(slot)
        before = holding.touch(blocks, self._clock)
        if None in before:
            bit, masks = 1 << slot, self._masks
            if masks.keys().isdisjoint(blocks):  # a prompt that is new everywhere: no step per block
                masks.update(dict.fromkeys(blocks, bit))
            else:
                for block, stamp in zip(blocks, before, strict=True):
                    if stamp is None:
                        masks[block] = masks.get(block, 0) | bit
            self._evict(slot, holding)
        return before

    def set_capacity(self, slot: int, blocks: int) -> None:
        """How many blocks the endpoint's cache has room for."""
        holding = self._holding(slot)
        holding.capacity = max(1, min(blocks, LARGEST_CAPACITY_BLOCKS))
        self._evict(slot, holding)

    def forget(self, slot: int) -> None:
        """The endpoint left, or restarted with an empty cache."""
        holding = self._holdings.pop(slot, None)
        if holding is not None:
            self._clear(holding.stamps, slot)

    def unlearn(self, slot: int, blocks: Sequence[int]) -> None:
        """These never got there: the request failed before the endpoint computed them."""
        holding = self._holdings.get(slot)
        if holding is not None:
            self._clear([block for block in blocks if holding.drop(block)], slot)

    def forget_older(self, slot: int, stamp: Stamp) -> int:
        """The engine evicted a block this old; it evicts the least recent first, so all that is older went, too."""
        holding, dropped = self._holding(slot), 0
        while (oldest := holding.oldest()) is not None and oldest < stamp:
            gone = holding.shed(len(holding.stamps))
            self._clear(gone, slot)
            dropped += len(gone)
        return dropped

    def _holding(self, slot: int) -> _Holding:
        holding = self._holdings.get(slot)
        if holding is None:
            holding = self._holdings[slot] = _Holding()
        return holding

    def _evict(self, slot: int, holding: _Holding) -> None:
        while (excess := len(holding.stamps) - holding.capacity) > 0:
            self._clear(holding.shed(excess), slot)

    def _clear(self, blocks: Iterable[int], slot: int) -> None:
        masks, bit = self._masks, 1 << slot
        pop = masks.pop
        for block in blocks:
            holders = pop(block)
            if holders != bit:  # others hold it, too, which is rare
                masks[block] = holders ^ bit


def _note(lengths: dict[int, int], bits: int, length: int) -> None:
    while bits:
        lowest = bits & -bits
        lengths[lowest.bit_length() - 1] = length
        bits ^= lowest
