"""What a gate with queues reports to the outside. Pure; metrics implement it."""

from typing import Protocol

from epp.admission.gate import Applicant
from epp.domain import PoolId
from epp.flowcontrol.items import Outcome


class QueueObserver(Protocol):
    """Is called after each thing happened. It must not block, raise or keep a reference to a body."""

    def left(self, applicant: Applicant, outcome: Outcome, seconds: float) -> None:
        """A request got its outcome after so many seconds, none if it did not have to wait."""

    def revoked(self, pool: PoolId, requests: int) -> None:
        """Running requests were ended for others."""


class NoQueueObserver:
    """Counts nothing; for tests and benches."""

    def left(self, applicant: Applicant, outcome: Outcome, seconds: float) -> None:
        """Ignore it."""

    def revoked(self, pool: PoolId, requests: int) -> None:
        """Ignore it."""
