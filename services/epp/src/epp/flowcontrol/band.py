"""One priority: its queues, what waits in them, and the policies that choose among them. Pure."""

from collections.abc import Iterator
from typing import Final

from epp.flowcontrol.fairness import GlobalStrict
from epp.flowcontrol.heap import ItemHeap
from epp.flowcontrol.items import NOTHING, Item, Size
from epp.flowcontrol.ordering import FirstComeOrdering
from epp.flowcontrol.settings import BandSettings
from epp.flowcontrol.turns import SessionTurns

# Fairness ids of one band that have a queue of their own at a time. A client chooses its id, so the number must have a
# bound; ids beyond it wait together. 1000 heads are more than any order among them could mean.
QUEUES_LIMIT: Final = 1000
OVERFLOW: Final = "other"


class Band:
    """What waits at one priority. Its controller is the only writer."""

    def __init__(self, priority: int, settings: BandSettings) -> None:
        self.priority = priority
        self.limit = settings.limit
        self.size = NOTHING
        self._fairness = settings.fairness.fairness()
        self._ordering = settings.ordering
        self._queues: dict[str, ItemHeap] = {}
        self._keys: dict[int, str] = {}  # by item
        # Sessions take turns where requests are fair to each other, and go by nothing else than when they came.
        self._has_turns = isinstance(self._ordering, FirstComeOrdering) and not isinstance(self._fairness, GlobalStrict)
        self._sessions: dict[str, SessionTurns] = {}  # by queue
        self._turns: dict[int, float] = {}  # by item

    def __len__(self) -> int:
        return self.size.requests

    def has_room(self, size: Size) -> bool:
        """Whether so much more may wait here."""
        return self.limit.holds(self.size.plus(size))

    def add(self, item: Item) -> None:
        """Let an item wait."""
        key = self._fairness.key(item.flow)
        if key not in self._queues and len(self._queues) >= QUEUES_LIMIT:
            key = self._fairness.key(OVERFLOW)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = ItemHeap()
            self._fairness.joined(key)
        queue.push((self._take_turn(key, item), self._ordering.key(item)), item)
        self._keys[item.id] = key
        self.size = self.size.plus(item.size)

    def head(self) -> Item:
        """The item that is next. Called only while something waits."""
        return self._queues[self._fairness.next()].head()

    def remove(self, item: Item) -> None:
        """An item leaves, for whatever reason."""
        key = self._keys.pop(item.id)
        self._turns.pop(item.id, None)
        queue = self._queues[key]
        queue.discard(item)
        self.size = self.size.minus(item.size)
        if not queue:
            del self._queues[key]
            self._sessions.pop(key, None)
            self._fairness.emptied(key)

    def dispatched(self, item: Item) -> None:
        """An item that is still here goes out next."""
        key = self._keys[item.id]
        self._fairness.dispatched(key, item.size)
        if item.id in self._turns:
            self._sessions[key].went(self._turns[item.id])

    def passed(self, flow: str, size: Size) -> None:
        """A request goes out that need not wait, while nothing waits here: its queue is charged all the same."""
        key, fairness = self._fairness.key(flow), self._fairness
        fairness.joined(key)
        fairness.dispatched(key, size)
        fairness.emptied(key)

    def answered(self, flow: str, tokens: int) -> None:
        """The answer to a request of this flow had so many tokens."""
        self._fairness.answered(self._fairness.key(flow), tokens)

    def _take_turn(self, key: str, item: Item) -> float:
        if not self._has_turns:
            return 0.0
        turn = self._turns[item.id] = self._sessions.setdefault(key, SessionTurns()).take(item.session)
        return turn

    def waiting(self) -> Iterator[tuple[str, int]]:
        """Each queue with how many wait in it."""
        return ((key, len(queue)) for key, queue in self._queues.items())
