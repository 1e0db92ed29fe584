"""What the picker reports to the outside, as two small protocols. Pure; the picker calls them, shells implement them.

A `PickObserver` counts: metrics attach here. A `Publisher` passes events on to other replicas. Neither may block, raise
or keep a reference to a body.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from epp.datalayer.placement import Placement
from epp.datalayer.standing.signals import Signal
from epp.domain import EndpointId, Feedback, Outcome, PickId, PoolId, SharedEvent
from gateway.wire.errors import Rejection


class PickObserver(Protocol):
    """Is called after each thing happened."""

    def placed(self, placement: Placement, request_bytes: int) -> None:
        """A request got an endpoint. Model names are a client's words: bound them before labelling."""

    def rejected(self, pool: PoolId | None, rejection: Rejection) -> None:
        """A request was refused."""

    def settled(self, pool: PoolId, pick_id: PickId, outcome: Outcome, seconds: float) -> None:
        """A reservation was released, `seconds` after it was made."""

    def reported(self, feedback: Feedback, placement: Placement) -> None:
        """How a settled request went; final reports only."""

    def rewritten(self, rewrite: str, model: str, target_model: str) -> None:
        """The model in the body was replaced, by the object of that name; empty where a header said so."""

    def ejected(self, pool: PoolId, endpoint: EndpointId, reason: str) -> None:
        """An endpoint is avoided from now on."""

    def returned(self, pool: PoolId, endpoint: EndpointId) -> None:
        """An avoided endpoint gets traffic again."""

    def attempt_failed(self, pool: PoolId, signal: Signal) -> None:
        """An attempt of a request failed at its endpoint, for this cause. The request may have gone on to another."""

    def failed(self, plugin: str, error: str, *, is_first: bool) -> None:
        """A plugin raised, or answered nonsense; for the first time since the configuration was read, or again."""

    def inert(self, plugins: Sequence[str], decisions: int) -> None:
        """These plugins made no difference in so many decisions."""

    def warned(self, messages: Sequence[str]) -> None:
        """A reload brought warnings."""


class NullObserver:
    """Counts nothing; for tests and benches."""

    def placed(self, placement: Placement, request_bytes: int) -> None:
        """Ignore it."""

    def rejected(self, pool: PoolId | None, rejection: Rejection) -> None:
        """Ignore it."""

    def settled(self, pool: PoolId, pick_id: PickId, outcome: Outcome, seconds: float) -> None:
        """Ignore it."""

    def reported(self, feedback: Feedback, placement: Placement) -> None:
        """Ignore it."""

    def rewritten(self, rewrite: str, model: str, target_model: str) -> None:
        """Ignore it."""

    def ejected(self, pool: PoolId, endpoint: EndpointId, reason: str) -> None:
        """Ignore it."""

    def returned(self, pool: PoolId, endpoint: EndpointId) -> None:
        """Ignore it."""

    def attempt_failed(self, pool: PoolId, signal: Signal) -> None:
        """Ignore it."""

    def failed(self, plugin: str, error: str, *, is_first: bool) -> None:
        """Ignore it."""

    def inert(self, plugins: Sequence[str], decisions: int) -> None:
        """Ignore it."""

    def warned(self, messages: Sequence[str]) -> None:
        """Ignore it."""


class Publisher(Protocol):
    """Where events for other replicas go. What cannot be kept is dropped and counted there."""

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Pass them on soon; never waits."""
