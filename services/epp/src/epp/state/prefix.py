"""Which endpoint holds which prompt blocks: one bitmask per block, one LRU per endpoint. Pure.

A prompt is a chain of block hashes, each seeded by the one before it, so equal hashes mean equal prompts up to there.
A match is the longest unbroken run of blocks from the start. The cost of a look-up is one dictionary access per block
plus one step per endpoint, whatever the number of endpoints that hold a block. Memory is bounded by the sum of the
endpoints' capacities: about 0.2 GB per million blocks held (measured by the bench; see docs/scheduling.md).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import xxhash

Stamp = int

# Upstream's default, and the bound where neither the configuration nor the engine says more: 31 250 blocks of 64 tokens
# are 2 million tokens, the KV cache of a small model on an 80 GB GPU.
DEFAULT_CAPACITY_BLOCKS = 31_250
# No engine can make one endpoint's share larger than this, whatever it reports: 64 million tokens.
LARGEST_CAPACITY_BLOCKS = 1_000_000


def chain(canonical: bytes, seed: bytes, block_bytes: int, max_blocks: int) -> tuple[int, ...]:
    """Hash a prompt's full blocks, each seeded by its predecessor; slices are the only copies."""
    digest = xxhash.xxh3_64_intdigest
    value = digest(seed, block_bytes)
    end = min(len(canonical) // block_bytes, max_blocks) * block_bytes
    return tuple([value := digest(canonical[at : at + block_bytes], value) for at in range(0, end, block_bytes)])


def seed_of(target_model: str, cache_salt: str) -> bytes:
    """What must be equal beside the prompt: the model or adapter, and the salt that a tenant chose."""
    return f"{target_model}\0{cache_salt}".encode()


class PrefixIndex:
    """Blocks by endpoint slot. Slots are small integers that the pool hands out; a slot is reused after `forget`."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._held: dict[int, OrderedDict[int, Stamp]] = {}
        self._capacity: dict[int, int] = {}
        self._clock: Stamp = 0  # counts learnings, so that ages of blocks compare

    def __len__(self) -> int:
        return len(self._masks)

    def held(self, slot: int) -> int:
        """How many blocks one endpoint is believed to hold."""
        return len(self._held.get(slot, ()))

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

    def stamps(self, slot: int, blocks: Sequence[int]) -> tuple[tuple[int, Stamp], ...]:
        """How old these blocks are on an endpoint, as (first position of a run, when last touched)."""
        held = self._held.get(slot)
        runs: list[tuple[int, Stamp]] = []
        last = None
        for position, block in enumerate(blocks if held else ()):
            stamp = held.get(block) if held else None
            if stamp is not None and stamp != last:
                runs.append((position, stamp))
                last = stamp
        return tuple(runs)

    def learn(self, slot: int, blocks: Sequence[int]) -> None:
        """The endpoint is about to hold these. Later blocks count as older, as in the engine."""
        if not blocks:
            return
        self._clock += 1
        stamp, bit, masks = self._clock, 1 << slot, self._masks
        held = self._held.setdefault(slot, OrderedDict())
        renew = held.move_to_end
        for block in reversed(blocks):
            if block in held:
                renew(block)
            else:
                masks[block] = masks.get(block, 0) | bit
            held[block] = stamp
        self._evict(slot, held)

    def set_capacity(self, slot: int, blocks: int) -> None:
        """How many blocks the endpoint's cache has room for."""
        self._capacity[slot] = max(1, min(blocks, LARGEST_CAPACITY_BLOCKS))
        held = self._held.get(slot)
        if held:
            self._evict(slot, held)

    def forget(self, slot: int) -> None:
        """The endpoint left, or restarted with an empty cache."""
        for block in self._held.pop(slot, ()):
            self._clear(block, slot)
        self._capacity.pop(slot, None)

    def unlearn(self, slot: int, blocks: Sequence[int]) -> None:
        """These never got there: the request failed before the endpoint computed them."""
        held = self._held.get(slot)
        if not held:
            return
        for block in blocks:
            if held.pop(block, None) is not None:
                self._clear(block, slot)

    def forget_older(self, slot: int, stamp: Stamp) -> int:
        """The engine evicted a block this old; it evicts the least recent first, so all that is older went, too."""
        held = self._held.get(slot)
        dropped = 0
        while held and next(iter(held.values())) < stamp:
            block, _ = held.popitem(last=False)
            self._clear(block, slot)
            dropped += 1
        return dropped

    def _evict(self, slot: int, held: OrderedDict[int, Stamp]) -> None:
        excess = len(held) - self._capacity.get(slot, DEFAULT_CAPACITY_BLOCKS)
        if excess <= 0:
            return
        masks, others, drop = self._masks, ~(1 << slot), held.popitem
        for _ in range(excess):  # a long prompt drops as many blocks as it brings: no call per block
            block, _ = drop(last=False)
            left = masks[block] & others
            if left:
                masks[block] = left
            else:
                del masks[block]

    def _clear(self, block: int, slot: int) -> None:
        left = self._masks.get(block, 0) & ~(1 << slot)
        if left:
            self._masks[block] = left
        else:
            self._masks.pop(block, None)


def _note(lengths: dict[int, int], bits: int, length: int) -> None:
    while bits:
        lowest = bits & -bits
        lengths[lowest.bit_length() - 1] = length
        bits ^= lowest
