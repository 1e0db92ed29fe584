"""How full a pool is for its gate: by stage where prefill and decode are split, the fuller stage counting. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from epp.admission.plugins import saturation_of
from epp.domain import Endpoint
from epp.scheduling.filters import DecodeFilter, PrefillFilter
from epp.scheduling.labels import ROLE_LABEL
from epp.scheduling.plugin import Filter, SaturationDetector, Trace
from epp.scheduling.view import SchedulingView

# A measurement that leaves enough room is not repeated so soon, however many requests come.
MEASURED_SECONDS: Final = 0.01
# Upstream's label values.
EFFECTIVE: Final = "effective"
_STAGES: Final[Mapping[str, Filter]] = {"prefill": PrefillFilter(), "decode": DecodeFilter()}


class PoolSaturation:
    """Measures one pool. Who belongs to a stage is looked up again only when the candidates change."""

    def __init__(self, detector: SaturationDetector | None) -> None:
        self._detector = detector
        self._endpoints: Sequence[Endpoint] = ()
        self._stages: Mapping[str, Sequence[bool]] = {}
        self._fewest = 1  # endpoints of the smallest stage
        self._measured = float("inf")  # the last measurement, and what was let in since raises it at most to
        self._measured_at = float("-inf")

    def is_below(self, ceiling: float, view: SchedulingView, trace: Trace, now: float) -> bool:
        """Whether one more request may go in. One fills no more than one endpoint, which raises the mean by its share:
        while that stays below the ceiling, nothing is measured."""
        if view.endpoints is self._endpoints and now - self._measured_at <= MEASURED_SECONDS:
            raised = self._measured + 1 / self._fewest
            if raised < ceiling:
                self._measured = raised
                return True
        found = self.of(view, trace)
        self._measured, self._measured_at = found + 1 / self._fewest, now
        return found < ceiling

    def of(self, view: SchedulingView, trace: Trace) -> float:
        """The saturation that counts. Whoever asks may let requests in that `is_below` does not know of."""
        self._measured_at = float("-inf")
        if self._detector is None:
            return 0.0
        if view.endpoints is not self._endpoints:
            self._endpoints, self._stages = view.endpoints, _stages(view)
            self._fewest = min((sum(keep) for keep in self._stages.values()), default=len(view))
        if not self._stages:
            return saturation_of(self._detector, view, trace)
        return max(self._by_stage(self._detector, view, trace).values())

    def by_stage(self, view: SchedulingView, trace: Trace) -> Mapping[str, float]:
        """Each stage's, and the one that counts."""
        effective = self.of(view, trace)
        if self._detector is None or not self._stages:
            return {EFFECTIVE: effective}
        return {**self._by_stage(self._detector, view, trace), EFFECTIVE: effective}

    def _by_stage(self, detector: SaturationDetector, view: SchedulingView, trace: Trace) -> Mapping[str, float]:
        return {
            stage: saturation_of(detector, view.narrowed(members), trace) for stage, members in self._stages.items()
        }


def _stages(view: SchedulingView) -> Mapping[str, Sequence[bool]]:
    """The members of each stage that has any; nothing where no endpoint names its role."""
    if not any(ROLE_LABEL in endpoint.labels for endpoint in view.endpoints):
        return {}
    members = {stage: role.keep(view) for stage, role in _STAGES.items()}
    return {stage: keep for stage, keep in members.items() if any(keep)}
