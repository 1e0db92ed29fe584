"""List and watch of one resource as a state machine: what to ask next, and the objects as they are known. Pure.

    ┌────────▶ List ──pages──▶ Watch ──ends──▶ Watch from the last resource version
    │            │               │
    └── Wait ◀───┴─── refused ───┴─── 410: the version is too old; list again

The caller does what `next_step` says, and reports how it went by one of `listed`, `opened`, `changed`, `ended`,
`refused`, `lost`. Objects stay known while the server is gone, errs or forbids; they go only when it says so, or when
the resource itself is gone.
"""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from random import Random
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.service import backoff

FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 10.0  # also how late news may be, once the server is back
ABSENT_RETRY_SECONDS: Final = 10.0  # a definition or a permission that is missing comes from a person's hand
LONGEST_RETRY_AFTER: Final = 60.0  # of what a server asks for
SHORT_WATCH_SECONDS: Final = 1.0  # a watch that ends sooner, without an event, is a failure
SURE_AFTER: Final = 3  # answers in a row: a server that starts may say 404 or 503 for a moment


class Phase(StrEnum):
    """How it stands with one resource."""

    STARTING = "starting"
    FOLLOWING = "following"
    MISSING = "missing"
    FORBIDDEN = "forbidden"
    FAILING = "failing"


class Verb(StrEnum):
    LIST = "list"
    WATCH = "watch"


class List(NamedTuple):
    """Ask for a page; `continuation` is empty for the first."""

    version: str
    continuation: str


class Watch(NamedTuple):
    version: str
    resource_version: str


class Wait(NamedTuple):
    seconds: float


Step = List | Watch | Wait
T = TypeVar("T")


class Item(NamedTuple, Generic[T]):
    """An object under a key that no other object of the resource has."""

    key: object
    value: T


class Page(NamedTuple, Generic[T]):
    """A part of a list; `continuation` is empty at the last."""

    items: Sequence[Item[T]]
    resource_version: str
    continuation: str = ""


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class Event(NamedTuple, Generic[T]):
    """One line of a watch. A bookmark has no item."""

    type: EventType
    item: Item[T] | None
    resource_version: str


class Reflector(Generic[T]):
    """Follows one resource, which may have several versions."""

    def __init__(self, versions: Sequence[str], random: Random) -> None:
        self._versions = tuple(versions)
        self._random = random
        self._at = 0  # the version in use
        self._items: dict[object, T] = {}
        self._page: dict[object, T] = {}  # of a list under way
        self._continuation = ""
        self._resource_version = ""
        self._wait = 0.0
        self._failures = 0  # in a row, also those of a watch that is opened and ends at once
        self._errors = 0  # answers in a row
        self._not_found = 0  # answers in a row
        self._is_listed = False
        self.phase = Phase.STARTING
        self.verb = Verb.LIST  # what was asked last

    @property
    def items(self) -> tuple[T, ...]:
        """The objects that are known."""
        return tuple(self._items.values())

    @property
    def is_settled(self) -> bool:
        """Whether nobody needs to wait for this resource: it was read, or the server does not give it."""
        return self._is_listed or self.phase not in (Phase.STARTING, Phase.FOLLOWING)

    @property
    def is_stuck(self) -> bool:
        """Whether it was asked for in vain several times."""
        return self._failures >= SURE_AFTER

    def next_step(self) -> Step:
        """What to do now."""
        if self._wait > 0:
            seconds, self._wait = self._wait, 0.0
            return Wait(seconds)
        version = self._versions[self._at]
        if self._resource_version:
            self.verb = Verb.WATCH
            return Watch(version, self._resource_version)
        self.verb = Verb.LIST
        return List(version, self._continuation)

    def listed(self, page: Page[T]) -> bool:
        """A page came; whether the list is whole, and so the objects may be others."""
        self._page.update(page.items)
        self._continuation = page.continuation
        if page.continuation:
            return False
        self._items, self._page = self._page, {}
        self._resource_version = page.resource_version
        self._is_listed = True
        self._not_found = 0
        if not page.resource_version:  # nothing to watch from
            self._wait = self._jittered(LONGEST_RETRY_SECONDS)
        return True

    def opened(self) -> None:
        """The server has begun to answer a watch."""
        self._errors = self._not_found = 0
        self.phase = Phase.FOLLOWING

    def changed(self, event: Event[T]) -> bool:
        """An event of the watch; whether the objects are others now."""
        self._resource_version = event.resource_version or self._resource_version
        self._failures = 0
        if event.item is None or event.type is EventType.BOOKMARK:
            return False
        if event.type is EventType.DELETED:
            return self._items.pop(event.item.key, None) is not None
        before = self._items.get(event.item.key)
        self._items[event.item.key] = event.item.value
        return before != event.item.value

    def ended(self, lasted: float) -> None:
        """A watch came to its end, after so many seconds."""
        self._lasted(lasted)
        if lasted < SHORT_WATCH_SECONDS:
            self._retry()

    def lost(self, lasted: float = 0.0) -> None:
        """No connection, or one that broke off. What is known stays."""
        self._lasted(lasted)
        self._retry()

    def refused(self, status: int, retry_after: float = 0.0, lasted: float = 0.0) -> bool:
        """The server answered with an error; whether the objects are others now."""
        self._lasted(lasted)
        if status == HTTPStatus.NOT_FOUND:
            return self._missing()
        self._not_found = 0
        if status == HTTPStatus.FORBIDDEN:
            self.phase = Phase.FORBIDDEN
            self._list_again()
            self._wait = self._jittered(ABSENT_RETRY_SECONDS)
        elif status == HTTPStatus.GONE:
            self._list_again()
            self._retry(is_free=self._failures == 0)
        else:
            self._errors += 1
            if self._errors >= SURE_AFTER:
                self.phase = Phase.FAILING
            self._retry()
            self._wait = max(self._wait, min(retry_after, LONGEST_RETRY_AFTER))
        return False

    def _missing(self) -> bool:
        """Another version may be there. An object that was read goes only when its resource is surely gone."""
        self._list_again()
        self._at = (self._at + 1) % len(self._versions)
        if self._at:
            return False
        self._not_found += 1
        if self._items and self._not_found < SURE_AFTER:
            self._wait = self._jittered(2 * FIRST_RETRY_SECONDS)
            return False
        is_other = bool(self._items)
        self._items = {}
        self.phase = Phase.MISSING
        self._wait = self._jittered(ABSENT_RETRY_SECONDS)
        return is_other

    def _list_again(self) -> None:
        self._resource_version = self._continuation = ""
        self._page = {}

    def _lasted(self, seconds: float) -> None:
        if seconds >= SHORT_WATCH_SECONDS:
            self._failures = 0

    def _retry(self, *, is_free: bool = False) -> None:
        """Wait the longer, the more failures there were in a row; `is_free`: not yet."""
        self._failures += 1
        longest = backoff.pause(self._failures, FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        self._wait = 0.0 if is_free else self._jittered(longest)

    def _jittered(self, seconds: float) -> float:
        """Between half of it and all, so that processes do not come back together."""
        return seconds * (0.5 + self._random.random() / 2)
