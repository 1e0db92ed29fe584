"""Producers: what plugins see comes from them, and from nowhere else. Pure.

A producer handles events of its pool and offers columns: for each candidate of a decision one figure. It is the only
writer of what it keeps. The pool knows producers by this protocol alone, so a package of the user's own can bring one.

    class Produced:                                     handles: {RequestSettled: self.settled}
        def handles(self): …                            columns: {"failures": self.failures}
        def columns(self): …

A handler is called with the event and the time. A column is called with what is being placed and with the slots of the
candidates; it answers one value for each, in their order, and changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from epp.datalayer.placing import Placing

Column = Callable[[Placing, Sequence[int]], Sequence[Any]]
Handlers = Mapping[type, Callable[..., None]]


class Producer(Protocol):
    """See the module's docstring."""

    def handles(self) -> Handlers:
        """Which events it handles, by their type."""

    def columns(self) -> Mapping[str, Column]:
        """What it offers, by name."""


class Producers:
    """All producers of one pool as one: events go to each that handles them, in the order given."""

    def __init__(self, producers: Sequence[Producer]) -> None:
        self.columns: dict[str, Column] = {}
        self._handlers: dict[type, list[Callable[..., None]]] = {}
        for producer in producers:
            self.columns.update(producer.columns())
            self.add(producer.handles())

    def add(self, handlers: Handlers) -> None:
        """Let these handle events, too, after those that are there."""
        for type_, handler in handlers.items():
            self._handlers.setdefault(type_, []).append(handler)

    def handle(self, event: object, now: float) -> None:
        """Give an event to those that handle it."""
        for handler in self._handlers.get(type(event), ()):
            handler(event, now)
