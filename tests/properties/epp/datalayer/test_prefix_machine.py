"""The index against a slow, obvious model of it."""

from collections import OrderedDict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from epp.datalayer.producers.prefix_index import PrefixIndex, chain, stamp_at

SLOTS = st.integers(0, 4)
TEXTS = st.text("ab", max_size=8)


def blocks(text: str) -> tuple[int, ...]:
    return chain(text.encode(), b"seed", 1, 100)


class PrefixIndexMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.index = PrefixIndex()
        self.model: dict[int, OrderedDict[int, None]] = {}
        self.capacity: dict[int, int] = {}
        self.touched: dict[tuple[int, int], int] = {}
        self.clock = 0

    @rule(slot=SLOTS, text=TEXTS)
    def learn(self, slot: int, text: str) -> None:
        before = self.index.learn(slot, blocks(text))
        held = self.model.setdefault(slot, OrderedDict())
        expected = [self.touched[slot, block] if block in held else None for block in blocks(text)]
        assert [stamp_at(before, number) for number in range(len(text))] == expected
        self.relearn(slot, text)

    def relearn(self, slot: int, text: str) -> None:
        held = self.model[slot]
        self.clock += bool(text)
        for block in reversed(blocks(text)):
            held.pop(block, None)
            held[block] = None
            self.touched[slot, block] = self.clock
        self.trim(slot)

    @rule(slot=SLOTS, capacity=st.integers(1, 6))
    def resize(self, slot: int, capacity: int) -> None:
        self.index.set_capacity(slot, capacity)
        self.capacity[slot] = capacity
        self.trim(slot)

    @rule(slot=SLOTS)
    def forget(self, slot: int) -> None:
        self.index.forget(slot)
        self.model.pop(slot, None)
        self.capacity.pop(slot, None)

    @rule(slot=SLOTS, text=TEXTS)
    def evict(self, slot: int, text: str) -> None:
        """The engine has lost what was touched before the first block of a prompt was."""
        held = self.model.setdefault(slot, OrderedDict())
        expected = next((self.touched[slot, block] for block in blocks(text)[:1] if block in held), None)
        found = stamp_at(self.index.learn(slot, blocks(text)), 0)
        assert found == expected
        self.relearn(slot, text)
        if expected is not None:
            gone = [block for block in held if self.touched[slot, block] < expected]
            assert self.index.forget_older(slot, expected) == len(gone)
            for block in gone:
                del held[block]

    @rule(slot=SLOTS, text=TEXTS, start=st.integers(0, 3))
    def unlearn(self, slot: int, text: str, start: int) -> None:
        self.index.unlearn(slot, blocks(text), start)
        for block in blocks(text)[start:]:
            self.model.get(slot, OrderedDict()).pop(block, None)

    def trim(self, slot: int) -> None:
        held = self.model.get(slot, OrderedDict())
        while len(held) > self.capacity.get(slot, 10**6):
            held.popitem(last=False)

    @rule(text=TEXTS)
    def match(self, text: str) -> None:
        expected = {}
        for slot, held in self.model.items():
            length = 0
            for block in blocks(text):
                if block not in held:
                    break
                length += 1
            if length:
                expected[slot] = length
        assert self.index.match(blocks(text)) == expected

    @invariant()
    def nothing_is_kept_that_nobody_holds(self) -> None:
        if hasattr(self, "model"):
            assert len(self.index) == len({block for held in self.model.values() for block in held})
            assert all(self.index.held(slot) == len(held) for slot, held in self.model.items())


TestPrefixIndexMachine = PrefixIndexMachine.TestCase
TestPrefixIndexMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(SLOTS, st.lists(st.integers(0, 4), max_size=6), st.integers(0, 6)), max_size=30))
def test_hashes_that_collide_cost_knowledge_and_nothing_else(steps: list[tuple[int, list[int], int]]) -> None:
    """No chain has these sequences; a client who finds collisions, or a replica that is damaged, may bring them."""
    index = PrefixIndex()
    for slot, sequence, number in steps:
        index.set_capacity(slot, 5)
        index.learn(slot, sequence)
        assert index.held(slot) <= 5
        if number:
            index.unlearn((slot + 1) % 5, sequence, number - 1)
        assert all(length <= len(sequence) for length in index.match(sequence).values())
    for slot in range(5):
        index.forget(slot)
    assert len(index) == 0
