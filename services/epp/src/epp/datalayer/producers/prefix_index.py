"""Which endpoint holds which prompt blocks: runs of blocks, one bitmask for each, one LRU per endpoint. Pure.

A prompt is a chain of block hashes, each seeded by the one before it, so equal hashes mean equal prompts up to there.
A run is consecutive blocks that were first seen together, named by its first one. It is held whole or not at all: where
an endpoint touches, loses or unlearns a part of it, it is split. A prompt that leaves a run in its middle goes on with
the run that is named by the next block. So a look-up costs one step per run and one per endpoint, not one per block:
two equal hashes at the same place say that all before them are equal, too.

A match is the longest unbroken sequence of blocks from the start. Memory is bounded by the sum of the endpoints'
capacities (measured by the bench; see docs/scheduling.md).
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import iter_unpack

import xxhash

from epp.datalayer.producers.prefix_holding import Holding, Stamp

# No engine can make one endpoint's share larger than this, whatever it reports: 64 million tokens.
LARGEST_CAPACITY_BLOCKS = 1_000_000

# When the leading blocks of a prompt were touched before: so many blocks each, None for those that were not held.
Touches = tuple[tuple[int, Stamp | None], ...]


def chain(canonical: bytes, seed: bytes, block_bytes: int, max_blocks: int) -> tuple[int, ...]:
    """Hash a prompt's full blocks, each seeded by its predecessor; they are cut without a slice object for each."""
    digest = xxhash.xxh3_64_intdigest
    value = digest(seed, block_bytes)
    end = min(len(canonical) // block_bytes, max_blocks) * block_bytes
    blocks = iter_unpack(f"{block_bytes}s", memoryview(canonical)[:end])
    return tuple([value := digest(block, value) for (block,) in blocks])


def seed_of(target_model: str, cache_salt: str) -> bytes:
    """What must be equal beside the prompt: the model or adapter, and the salt that a tenant chose."""
    return f"{target_model}\0{cache_salt}".encode()


def stamp_at(touches: Touches, block: int) -> Stamp | None:
    """When that block of the prompt was touched before."""
    for count, stamp in touches:
        if block < count:
            return stamp
        block -= count
    return None


class PrefixIndex:
    """Blocks by endpoint slot. Slots are small integers that the pool hands out; a slot is reused after `forget`."""

    def __init__(self) -> None:
        self._runs: dict[int, array[int]] = {}
        self._masks: dict[int, int] = {}  # who holds each run
        self._parted: set[int] = set()  # runs after which prompts went on differently
        self._holdings: dict[int, Holding] = {}
        self._blocks = 0
        self._clock: Stamp = 0  # counts learnings, so that ages of blocks compare

    def __len__(self) -> int:
        return self._blocks

    def held(self, slot: int) -> int:
        """How many blocks one endpoint is believed to hold."""
        return self._holdings[slot].blocks if slot in self._holdings else 0

    def capacity(self, slot: int) -> int:
        """How many it has room for, as far as that was said."""
        return self._holdings[slot].capacity if slot in self._holdings else 0

    def match(self, blocks: Sequence[int]) -> Mapping[int, int]:
        """Length of the longest unbroken run per slot; slots without any are absent."""
        if not blocks:
            return {}
        masks, runs = self._masks, self._runs
        alive = masks.get(blocks[0], 0)
        if not alive:
            return {}
        lengths: dict[int, int] = {}
        at, end = 0, len(blocks)
        while at < end:
            name = blocks[at]
            still = alive & masks.get(name, 0)
            if still != alive:
                _note(lengths, alive ^ still, at)
                if not still:
                    return lengths
                alive = still
            run = runs[name]
            following = at + len(run)
            is_whole = following <= end and run[-1] == blocks[following - 1]
            at = following if is_whole else at + _common(run, blocks, at)
        _note(lengths, alive, end)
        return lengths

    def learn(self, slot: int, blocks: Sequence[int]) -> Touches:
        """The endpoint is about to hold these. Later blocks count as older, as in the engine.

        Returned is when they were last touched there.
        """
        if not blocks:
            return ()
        self._clock += 1
        holding, bit = self._holding(slot), 1 << slot
        names, touches = self._cover(blocks, holding, bit)
        holding.touch(names, self._clock)
        for name in names:
            self._masks[name] |= bit
        self._evict(slot, holding)
        return tuple(touches)

    def held_by_age(self, slot: int) -> Iterator[bytes]:
        """The runs that an endpoint holds, in the order in which they go, eight bytes for each block. The index may
        change between two of them."""
        holding = self._holdings.get(slot)
        for name in () if holding is None else holding.by_age():
            run = self._runs.get(name)
            if run is not None:
                yield run.tobytes()

    def hold(self, slot: int, parts: Iterable[bytes]) -> None:
        """The endpoint holds these, too, as `held_by_age` gives them; most are new here, which is the fast way."""
        runs, masks, holding, bit = self._runs, self._masks, self._holding(slot), 1 << slot
        for part in parts:
            blocks = array("Q", part)
            if not blocks or not runs.keys().isdisjoint(blocks):
                self.learn(slot, blocks)
                continue
            name = blocks[0]
            runs[name], masks[name] = blocks, bit
            self._blocks += len(blocks)
            self._clock += 1
            holding.touch((name,), self._clock)
        self._evict(slot, holding)

    def set_capacity(self, slot: int, blocks: int) -> None:
        """How many blocks the endpoint's cache has room for."""
        holding = self._holding(slot)
        holding.capacity = max(1, min(blocks, LARGEST_CAPACITY_BLOCKS))
        self._evict(slot, holding)

    def forget(self, slot: int) -> None:
        """The endpoint left, or restarted with an empty cache."""
        holding = self._holdings.pop(slot, None)
        if holding is not None:
            for name in holding.stamps:
                self._release(name, 1 << slot)

    def unlearn(self, slot: int, blocks: Sequence[int], start: int = 0) -> None:
        """These, from one on, never got there: the request failed before the endpoint computed them."""
        holding, bit = self._holdings.get(slot), 1 << slot
        at, end = 0, len(blocks) if holding is not None else 0
        while holding is not None and at < end:
            name = blocks[at]
            run = self._runs.get(name)
            if run is None:
                at = self._next_known(blocks, at + 1)
                continue
            following = at + _common(run, blocks, at)
            if following > start and self._masks[name] & bit:
                part = name if at >= start else self._split(name, start - at)
                if part is not None:
                    self._split(part, following - max(at, start))
                    self._drop(holding, part, bit)
            at = following

    def forget_older(self, slot: int, stamp: Stamp) -> int:
        """The engine evicted a block this old; it evicts the least recent first, so all that is older went, too."""
        holding = self._holding(slot)
        before = holding.blocks
        while (oldest := holding.oldest()) is not None and oldest[1] < stamp:
            self._drop(holding, oldest[0], 1 << slot)
        return before - holding.blocks

    def _holding(self, slot: int) -> Holding:
        holding = self._holdings.get(slot)
        if holding is None:
            holding = self._holdings[slot] = Holding(self._runs)
        return holding

    def _cover(
        self, blocks: Sequence[int], holding: Holding, bit: int
    ) -> tuple[list[int], list[tuple[int, Stamp | None]]]:
        """The runs that make up a prompt, and when they were touched; new blocks are entered as runs.

        Those that follow a run that nobody else holds become a part of it, so that a conversation stays one run; but
        not where prompts parted before, or a prefix that many share would grow and be split with each of them.
        """
        runs, masks, stamps = self._runs, self._masks, holding.stamps
        names: list[int] = []
        touches: list[tuple[int, Stamp | None]] = []
        at, end, can_grow = 0, len(blocks), False
        while at < end:
            name = blocks[at]
            run = runs.get(name)
            if run is not None:
                count = size = len(run)
                if at + size > end or run[-1] != blocks[at + size - 1]:
                    count = _common(run, blocks, at)
                    self._split(name, count)
                    self._parted.add(name)
                can_grow = count == size and masks[name] == bit and name not in self._parted
                names.append(name)
                touches.append((count, stamps.get(name)))
            else:
                count = self._next_known(blocks, at + 1) - at
                added = array("Q", blocks[at : at + count])
                self._blocks += count
                if can_grow:
                    runs[names[-1]] += added
                    holding.blocks += count
                else:
                    runs[name], masks[name] = added, 0
                    names.append(name)
                touches.append((count, None))
            at += count
        return names, touches

    def _next_known(self, blocks: Sequence[int], at: int) -> int:
        """Where the next known run begins: after a part that was unlearned, what follows it may still be held."""
        runs = self._runs
        if runs.keys().isdisjoint(blocks[at:]):
            return len(blocks)
        return next(number for number in range(at, len(blocks)) if blocks[number] in runs)

    def _split(self, name: int, at: int) -> int | None:
        """Make what follows in a run one of its own; its name.

        Where hashes collide, two runs would have one name, or a prompt comes back to a run of its own: then what
        follows is forgotten.
        """
        run = self._runs[name]
        rest = run[at:]
        if not rest:
            return None
        del run[at:]
        tail, holders = rest[0], self._masks[name]
        is_kept = holders and tail not in self._runs
        for slot in _slots(holders):
            self._holdings[slot].split(name, tail if is_kept else None, len(rest))
        if not is_kept:
            self._blocks -= len(rest)
            return None
        self._runs[tail], self._masks[tail] = rest, holders
        return tail

    def _evict(self, slot: int, holding: Holding) -> None:
        while (excess := holding.blocks - holding.capacity) > 0:
            oldest = holding.oldest()
            if oldest is None:
                return
            size = len(self._runs[oldest[0]])
            gone = oldest[0] if size <= excess else self._split(oldest[0], size - excess)
            if gone is not None:
                self._drop(holding, gone, 1 << slot)

    def _drop(self, holding: Holding, name: int, bit: int) -> None:
        holding.drop(name)
        self._release(name, bit)

    def _release(self, name: int, bit: int) -> None:
        """One endpoint less holds a run."""
        holders = self._masks[name] ^ bit
        if holders:
            self._masks[name] = holders
        else:
            self._blocks -= len(self._runs.pop(name))
            del self._masks[name]
            self._parted.discard(name)


def _common(run: Sequence[int], blocks: Sequence[int], at: int) -> int:
    """How many blocks of a run the prompt has from that place on; the first is one of them."""
    size = min(len(run), len(blocks) - at)
    if run[size - 1] == blocks[at + size - 1]:
        return size
    low, high = 1, size - 1  # equal before `low`, different at `high`
    while low < high:
        middle = (low + high) // 2
        if run[middle] == blocks[at + middle]:
            low = middle + 1
        else:
            high = middle
    return low


def _note(lengths: dict[int, int], bits: int, length: int) -> None:
    for slot in _slots(bits):
        lengths[slot] = length


def _slots(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
