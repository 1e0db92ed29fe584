"""Measures decisions: a door's view of the brain that tells an observer how long each took. A shell, for its clock."""

from typing import Protocol

from epp.domain import Outcome, PickId, Request, Verdict
from gateway.service.clock import Clock


class Brain(Protocol):
    """What doors ask."""

    def pick(self, request: Request, now: float) -> Verdict:
        """Decide."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over."""


class Observer(Protocol):
    """What an operator counts."""

    def took(self, seconds: float) -> None:
        """One decision."""


class TimedBrain:
    """Stands before the brain at every door."""

    __slots__ = ("_brain", "_clock", "_observer", "settle")

    def __init__(self, brain: Brain, clock: Clock, observer: Observer) -> None:
        self._brain = brain
        self._clock = clock
        self._observer = observer
        self.settle = brain.settle

    def pick(self, request: Request, now: float) -> Verdict:
        """Decide, and say how long it took since the door read its clock."""
        verdict = self._brain.pick(request, now)
        self._observer.took(self._clock() - now)
        return verdict
