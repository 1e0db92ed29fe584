"""The pickers. All return an ordered list, which Envoy walks when an endpoint cannot be reached. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

from epp.scheduling.plugin import parameter
from epp.scheduling.view import SchedulingView

_WHY_ONE = "length of the ordered list; more than one gives the proxy something to fall back to"


@dataclass(frozen=True, slots=True)
class MaxScorePicker:
    """Takes the highest score; equal scores are drawn by lot."""

    max_num_of_endpoints: int = parameter(1, _WHY_ONE, unit="endpoints", minimum=1)

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        """The best, in order."""
        if self.max_num_of_endpoints == 1:
            best = max(scores)
            first = scores.index(best)
            if scores.count(best) == 1:
                return (first,)
            return (view.random.choice([at for at, score in enumerate(scores) if score == best]),)
        random = view.random.random
        return nlargest(self.max_num_of_endpoints, range(len(scores)), key=lambda at: (scores[at], random()))


@dataclass(frozen=True, slots=True)
class RandomPicker:
    """Draws by lot, whatever the scores."""

    max_num_of_endpoints: int = parameter(1, _WHY_ONE, unit="endpoints", minimum=1)

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        """Some, in random order."""
        return view.random.sample(range(len(scores)), min(self.max_num_of_endpoints, len(scores)))


@dataclass(frozen=True, slots=True)
class WeightedRandomPicker:
    """Draws by lot, with chances as the scores (reservoir of Efraimidis and Spirakis)."""

    max_num_of_endpoints: int = parameter(1, _WHY_ONE, unit="endpoints", minimum=1)

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        """Some, without replacement; all scores zero draws evenly."""
        random = view.random.random
        # ln(U)/score orders as U^(1/score) does, and does not round to equal keys for small scores.
        keys = [(math.log(1.0 - random()) / score, 0.0) if score > 0 else (-math.inf, random()) for score in scores]
        return nlargest(self.max_num_of_endpoints, range(len(scores)), key=keys.__getitem__)
