"""The gate that the configuration asks for: with queues, or without. Pure."""

from collections.abc import Callable, Mapping, Sequence

from epp.admission.flow_gate import FlowGate
from epp.admission.gate import Admission, Answered, Applicant, Gate, Released
from epp.admission.observer import QueueObserver
from epp.admission.open_gate import OpenGate
from epp.config import SchedulerConfig
from epp.domain import PoolId, Ticket
from epp.flowcontrol.eviction import Running
from epp.scheduling.view import SchedulingView
from gateway.wire.errors import Rejection


class ConfiguredGate:
    """Flow control may come and go with an edit: what waited when it went is admitted."""

    def __init__(self, config: SchedulerConfig, observer: QueueObserver) -> None:
        self._open = OpenGate(config)
        self._flow = FlowGate(config, observer)
        self._gate: Gate = self._open if config.queues is None else self._flow

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """As the gate in force does."""
        return self._gate.admit(applicant, now)

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Only the gate with queues knows tickets."""
        self._flow.cancel(ticket, now)

    def next(self, now: float) -> Released | None:
        """Only the gate with queues has any."""
        return self._flow.next(now)

    def victims(self, in_flight: Callable[[PoolId], Sequence[Running]], now: float) -> Sequence[Running]:
        """As the gate in force says."""
        return self._gate.victims(in_flight, now)

    def answered(self, applicant: Answered, tokens: int) -> None:
        """Only the gate with queues counts service."""
        self._gate.answered(applicant, tokens)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Both change; one is in force."""
        self._open.reconfigure(config)
        self._flow.reconfigure(config)
        self._gate = self._open if config.queues is None else self._flow

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        """As the gate in force does."""
        return self._gate.describe(look, now)
