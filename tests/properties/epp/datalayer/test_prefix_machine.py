"""The index against a slow, obvious model of it."""

from collections import OrderedDict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from epp.datalayer.producers.prefix_index import PrefixIndex, chain

SLOTS = st.integers(0, 4)
TEXTS = st.text("ab", max_size=6)


def blocks(text: str) -> tuple[int, ...]:
    return chain(text.encode(), b"seed", 1, 100)


class PrefixIndexMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.index = PrefixIndex()
        self.model: dict[int, OrderedDict[int, None]] = {}
        self.capacity: dict[int, int] = {}

    @rule(slot=SLOTS, text=TEXTS)
    def learn(self, slot: int, text: str) -> None:
        self.index.learn(slot, blocks(text))
        held = self.model.setdefault(slot, OrderedDict())
        for block in reversed(blocks(text)):
            held.pop(block, None)
            held[block] = None
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

    @rule(slot=SLOTS, text=TEXTS, start=st.integers(0, 3))
    def unlearn(self, slot: int, text: str, start: int) -> None:
        self.index.unlearn(slot, blocks(text)[start:])
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
TestPrefixIndexMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
