"""Windows of time in which a quota counts. Pure; times are Unix seconds.

A window slides: in no span of its length is more admitted than its limit, wherever the span begins. It is counted in
slots; a slot counts for as long as any moment of it lies in the window, so the window is up to one slot longer. A month
has no fixed length: it is the calendar's, in UTC, and one slot.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

SLOTS: Final = 20  # a window counts up to 5 % longer than it is; the counter of one has at most one slot more
SECOND: Final = 1.0
MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0
LONGEST: Final = 366 * DAY  # seconds
_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Window:
    """The last `seconds`; None: the month of the calendar."""

    seconds: float | None

    @property
    def name(self) -> str:
        """For keys and people: `60s`, `month`."""
        return "month" if self.seconds is None else f"{self.seconds:g}s"

    def slot(self, now: float) -> int:
        """The slot of a moment."""
        if self.seconds is None:
            moment = datetime.fromtimestamp(now, UTC)
            return moment.year * _MONTHS + moment.month - 1
        return int(now * SLOTS // self.seconds)

    def first(self, now: float) -> int:
        """The oldest slot that counts."""
        return self.slot(now) if self.seconds is None else self.slot(now) - SLOTS

    def end(self, slot: int) -> float:
        """When a slot counts no more."""
        if self.seconds is None:
            year, month = divmod(slot + 1, _MONTHS)
            return datetime(year, month + 1, 1, tzinfo=UTC).timestamp()
        return (slot + 1 + SLOTS) * self.seconds / SLOTS


CALENDAR_MONTH: Final = Window(None)
