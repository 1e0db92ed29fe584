"""What a plugin is. Pure.

A plugin is a frozen value whose fields are its parameters; it keeps no state, so the same view gives the same answer.
Its roles follow from the methods it has (`roles`): `keep` makes a filter, `score` a scorer, and so on. What has state
is a producer: one for each pool, made by a plugin. The first line of a plugin's docstring is what `epp plugins` prints.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from epp.datalayer.producer import Producer
from epp.domain import PoolId
from epp.scheduling.view import SchedulingView
from gateway.wire.errors import Rejection


class Filter(Protocol):
    """Keeps some candidates."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """One answer per candidate."""


class Scorer(Protocol):
    """Rates candidates."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        """One figure per candidate, 0 worst to 1 best; anything outside is clamped."""


class Picker(Protocol):
    """Chooses by score."""

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        """Positions of the chosen candidates, first choice first, at least one."""


class Decider(Protocol):
    """Says whether a request is worth a leg of its own."""

    def decides(self, view: SchedulingView, position: int) -> bool:
        """Asked with the candidate that was chosen for decoding."""


class SaturationDetector(Protocol):
    """Measures how full a pool is."""

    def saturation(self, view: SchedulingView) -> float:
        """1.0 and above is saturated."""


class Admitter(Protocol):
    """May refuse a request."""

    def admits(self, view: SchedulingView) -> bool:
        """False makes the answer 429."""


class ProfileHandler(Protocol):
    """Chooses which profiles run, and what their results mean."""

    def run(self, profiles: "Mapping[str, Profile]", view: SchedulingView, trace: "Trace") -> "Decision | Rejection":
        """A decision, or why there is none."""

    def check(self, profiles: Sequence[str]) -> str | None:
        """What is wrong with these profiles for this handler; None if nothing."""


class ProducerPlugin(Protocol):
    """Brings a producer."""

    def producer(self, pool: PoolId) -> Producer:
        """A new producer for one pool; its columns are read by their names, with `view.column`."""


class Trace(Protocol):
    """Takes notes for explanations; the hot path passes one that forgets."""

    def filtered(self, profile: str, plugin: str, before: SchedulingView, keep: Sequence[bool]) -> None:
        """A filter ran."""

    def scored(self, profile: str, plugin: str, weight: float, view: SchedulingView, scores: Sequence[float]) -> None:
        """A scorer ran; scores are clamped, not yet weighted."""

    def picked(self, profile: str, view: SchedulingView, totals: Sequence[float], chosen: Sequence[int]) -> None:
        """A profile ended."""

    def failed(self, plugin: str, error: str) -> None:
        """A plugin raised, or answered for others than the candidates; the decision goes on as if it were not there."""


class WeightedScorer(NamedTuple):
    """A scorer under its configured name."""

    name: str
    scorer: Scorer
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Named filters, weighted scorers and one picker."""

    name: str
    filters: tuple[tuple[str, Filter], ...]
    scorers: tuple[WeightedScorer, ...]
    picker: Picker


class ProfileResult(NamedTuple):
    """What one profile chose: the view after its filters, totals per candidate, positions in order. A tuple, as
    `Decision` is, which costs least to make.
    """

    view: SchedulingView
    totals: Sequence[float]
    chosen: Sequence[int]


class Decision(NamedTuple):
    """The primary profile's result, and where it exists the prefill leg's."""

    primary: ProfileResult
    prefill: ProfileResult | None = None
    encode: ProfileResult | None = None


def parameter(
    default: Any,
    why: str,
    *,
    unit: str = "",
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    key: str | None = None,
    reference: str | None = None,
    ignored: bool = False,
) -> Any:
    """A field that a configuration may set: unit, default, bounds and the reason for the default.

    `reference` names the part ("decider", …) when the value is the name of another plugin; `ignored` parameters load
    for compatibility and change nothing, `why` then says so.
    """
    metadata = {
        "why": why, "unit": unit, "choices": tuple(choices), "minimum": minimum, "maximum": maximum, "above": above,
        "key": key, "reference": reference, "ignored": ignored,
    }  # fmt: skip
    if isinstance(default, list | dict):
        factory: Callable[[], Any] = type(default)
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
