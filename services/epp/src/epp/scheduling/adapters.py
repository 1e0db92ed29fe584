"""Adapter placement as a scorer: each LoRA adapter on few endpoints, on as many as its load takes. Pure.

`lora-affinity-scorer`, which is upstream's, sees only adapters that run at the last scrape. This one knows idle ones,
too, and where an adapter belongs: see `epp.datalayer.producers.adapters`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.scheduling.plugin import parameter
from epp.scheduling.view import SchedulingView


@dataclass(frozen=True, slots=True)
class LoraPlacementScorer:
    """Prefers a home of the adapter that has it (1), then others that have it, then homes, then others with room."""

    loaded: float = parameter(0.7, "score of an endpoint that has it and is no home of it", minimum=0, maximum=1)
    home: float = parameter(0.4, "score of a home that has to load it", minimum=0, maximum=1)
    room: float = parameter(0.1, "score of another endpoint that has a slot for it", minimum=0, maximum=1)

    def score(self, view: SchedulingView) -> Sequence[float]:
        """By where the target model's adapter is and belongs; where it would wait for a slot, 0."""
        if not view.needs_adapter:
            return [0.0] * len(view)
        return [
            (1.0 if is_home else self.loaded) if is_loaded else self.home if is_home else self.room if has_room else 0.0
            for is_home, is_loaded, has_room in zip(
                view.adapter_home, view.adapter_loaded, view.adapter_room, strict=True
            )
        ]
