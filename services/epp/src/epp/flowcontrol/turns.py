"""Turns of sessions within one queue: fairness where no fairness id tells whose requests they are. Pure.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): a request's turn is that of the request which went last, or
the one after its session's latest, whichever is later. So a session with ten requests waiting does not go before one
with its first, and a session that was silent has saved nothing up. A turn never changes while its request waits.
"""

from typing import Final

# Sessions are forgotten whose next turn has come already; looked for each time their number has doubled from this.
_SWEEP_FROM: Final = 64


class SessionTurns:
    """Of one queue, while anything waits in it."""

    __slots__ = ("_next", "_now", "_sweep_at")

    def __init__(self) -> None:
        self._now = 0.0  # the turn of what went last
        self._next: dict[str, float] = {}  # by session: the turn after its latest
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        return len(self._next)

    def take(self, session: str) -> float:
        """The turn of a session's next request; one of no session goes with those whose first it is."""
        if not session:
            return self._now
        turn = max(self._now, self._next.get(session, 0.0))
        self._next[session] = turn + 1
        if len(self._next) >= self._sweep_at:
            self._next = {known: at for known, at in self._next.items() if at > self._now}
            self._sweep_at = max(_SWEEP_FROM, 2 * len(self._next))
        return turn

    def went(self, turn: float) -> None:
        """A request with this turn goes out."""
        self._now = max(self._now, turn)
