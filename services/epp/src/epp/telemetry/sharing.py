"""Metrics of what replicas share."""

from typing import Final

from gateway.service.metrics import Registry

# From one host to a Redis far away that is slow.
LAG: Final = (0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)


class SharingMetrics:
    """Counts what goes out and comes in. `write` and `read` are the directions."""

    def __init__(self, registry: Registry) -> None:
        name = "pointsman_epp_{}".format
        self._shared = registry.counter(
            name("shared_events_total"), "Events of requests in the journal.", ("direction",)
        )
        self._dropped = registry.counter(name("shared_events_dropped_total"), "Events that were not shared.", ())
        self._lag = registry.histogram(
            name("shared_lag_seconds"),
            "From an event to the journal (write), and from there to this replica (read).",
            ("direction",),
            LAG,
        )
        self._changes = registry.counter(
            name("sharing_changes_total"), "Times that sharing stopped or went on.", ("direction", "state")
        )
        self._works = registry.gauge(name("sharing_works"), "1 while sharing works.", ("direction",))
        self.totals = {"in": 0, "out": 0, "dropped": 0}
        self.works: dict[str, bool] = {}
        self.last_lag: dict[str, float] = {}

    def shared(self, direction: str, events: int) -> None:
        """Events went out to, or came in from, the other replicas."""
        self.totals[direction] += events
        self._shared.add((direction,), events)

    def dropped(self, events: int) -> None:
        """Events that the others will not hear of, or that could not be read."""
        self.totals["dropped"] += events
        self._dropped.add((), events)

    def sharing(self, direction: str, *, works: bool) -> None:
        """One direction works from now on, or no longer."""
        self.works[direction] = works
        self._works.set(float(works), (direction,))
        self._changes.add((direction, "works" if works else "fails"))

    def lagged(self, direction: str, seconds: float) -> None:
        """So long an event waited."""
        self.last_lag[direction] = seconds
        self._lag.observe(seconds, (direction,))

    def describe(self) -> dict[str, object]:
        """For people."""
        return {
            "events": dict(self.totals),
            "works": dict(self.works),
            "last_lag_seconds": {direction: round(seconds, 4) for direction, seconds in self.last_lag.items()},
        }
