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
# Measuring costs a microsecond or two for each endpoint, and a large pool has thousands of scrapes a second, each of
# which may bring room. So it pauses for some times as long.
_MANY_ENDPOINTS: Final = 32
_PAUSE_PER_ENDPOINT: Final = 1e-5
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
        self._most = float("inf")  # the last measurement, raised by what was let in since
        self._measured_at = float("-inf")
        self._is_gated = False

    def at_most(self, ceiling: float, view: SchedulingView, trace: Trace, now: float) -> float:
        """The saturation is no more than this; whoever asks lets a request in if that is below the ceiling.

        One request fills no more than one endpoint, which raises the mean by its share: while that stays below the
        ceiling, nothing is measured. Nor is a large pool measured again at once when it was found full.
        """
        most, age = self._most, now - self._measured_at
        if view.endpoints is self._endpoints:
            if self._is_gated and age < _PAUSE_PER_ENDPOINT * (len(view) - _MANY_ENDPOINTS):
                return most
            if age <= MEASURED_SECONDS and most + 1 / self._fewest < ceiling:
                self._most = most + 1 / self._fewest
                return most
        found = self.of(view, trace)
        self._is_gated = found >= ceiling
        self._most = found if self._is_gated else found + 1 / self._fewest
        self._measured_at = now
        return found

    def of(self, view: SchedulingView, trace: Trace) -> float:
        """The saturation that counts."""
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
