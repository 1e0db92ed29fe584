"""What one endpoint is believed to hold, as runs of blocks by age: the least recently touched goes first. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence, Sized

Stamp = int

# Upstream's default, and the bound where neither the configuration nor the engine says more: 31 250 blocks of 64 tokens
# are 2 million tokens, the KV cache of a small model on an 80 GB GPU.
DEFAULT_CAPACITY_BLOCKS = 31_250
# Stamps without a prompt that may stand in an endpoint's order before it is cleared of them.
_ORDER_SLACK = 64


class Holding:
    """Each run, by its name, with the stamp of its last touch; and per stamp the prompt touched then, as its runs.

    A prompt is forgotten when none of its runs bears its stamp any more, and shortened when less than half do, so that
    prompts never take more than twice the room of what is held. Numbers, and tuples of them, cost the garbage collector
    nothing.
    """

    __slots__ = ("_order", "_prompts", "_runs", "_touched", "blocks", "capacity", "stamps")

    def __init__(self, runs: Mapping[int, Sized]) -> None:
        self._runs = runs  # of the whole index
        self.capacity = DEFAULT_CAPACITY_BLOCKS
        self.blocks = 0
        self.stamps: dict[int, Stamp] = {}
        self._prompts: dict[Stamp, tuple[int, ...]] = {}
        self._touched: dict[Stamp, int] = {}  # runs that bear the stamp
        self._order: deque[Stamp] = deque()  # oldest first; those without a prompt are skipped

    def touch(self, names: Sequence[int], stamp: Stamp) -> None:
        """Give the runs of a prompt a new stamp; those that are new count from now on."""
        stamps, names = self.stamps, tuple(dict.fromkeys(names))
        for name in names:
            before = stamps.get(name)
            stamps[name] = stamp
            if before is None:
                self.blocks += len(self._runs[name])
            else:
                self._fade(before)
        self._prompts[stamp] = names
        self._touched[stamp] = len(names)
        self._order.append(stamp)
        if len(self._order) > 2 * len(self._prompts) + _ORDER_SLACK:
            self._order = deque(each for each in self._order if each in self._prompts)

    def split(self, name: int, tail: int | None, size: int) -> None:
        """The end of a run, of so many blocks, is a run of its own from now on, or is forgotten."""
        if tail is None:
            self.blocks -= size
            return
        stamp = self.stamps[tail] = self.stamps[name]
        prompt = self._prompts[stamp]
        after = prompt.index(name) + 1
        self._prompts[stamp] = (*prompt[:after], tail, *prompt[after:])
        self._touched[stamp] += 1

    def drop(self, name: int) -> None:
        """Let go of a run."""
        self.blocks -= len(self._runs[name])
        self._fade(self.stamps.pop(name))

    def by_age(self) -> list[int]:
        """All runs, in the order in which they go."""
        stamps, prompts = self.stamps, self._prompts
        ordered = ((stamp, prompts[stamp]) for stamp in self._order if stamp in prompts)
        return [name for stamp, names in ordered for name in reversed(names) if stamps.get(name) == stamp]

    def oldest(self) -> tuple[int, Stamp] | None:
        """The run that goes first, the last of the least recently touched prompt, and its stamp."""
        order, prompts = self._order, self._prompts
        while order and order[0] not in prompts:
            order.popleft()
        if not order:
            return None
        stamp = order[0]
        prompt, end = prompts[stamp], len(prompts[stamp])
        while self.stamps.get(prompt[end - 1]) != stamp:
            end -= 1
        if end < len(prompt):
            prompts[stamp] = prompt[:end]
        return prompt[end - 1], stamp

    def _fade(self, stamp: Stamp) -> None:
        """One run less bears the stamp."""
        left = self._touched[stamp] - 1
        if not left:
            del self._prompts[stamp], self._touched[stamp]
            return
        self._touched[stamp] = left
        prompt = self._prompts[stamp]
        if left * 2 < len(prompt):
            self._prompts[stamp] = tuple([name for name in prompt if self.stamps.get(name) == stamp])
