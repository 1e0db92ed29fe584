"""Weights that do better: variants of a configuration, tried on some seeds and judged on others. Pure.

A round runs its variants with seeds of its own, and the better third goes on with further ones: variants that are poor
cost one seed. The order is by the mean of all seeds that a variant had. The configuration itself goes through all
rounds. The best is only a proposal: it was chosen for doing well on these seeds, so its margin is measured on others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from random import Random
from statistics import fmean
from typing import Any, Final

import yaml

from lab.study.answer import Figure
from lab.study.contenders import Contender
from lab.study.study import Results, Run, Study

ROUND_SEEDS: Final = (1, 2, 3)
"""Seeds of each round."""
KEPT_SHARE: Final = 3
TRAINING_SEED: Final = 1_000_000
"""Seeds from here on are for the search; those that judge are below it."""
WEIGHT_LIMIT: Final = 1000.0
DEFAULT_FACTOR: Final = 3.0
"""Without bounds of its own a weight goes from 0 to so many times what it is, or what 1 is."""


class SearchError(ValueError):
    """There is nothing to search; it says why."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight of a configuration: where it stands, what it is, and how far it may go."""

    profile: int
    plugin: int
    name: str
    value: float
    low: float
    high: float


def weights_of(text: str, bounds: Mapping[str, tuple[float, float]]) -> list[Weight]:
    """Every weight that is written in a configuration; `bounds` by the plugin's name."""
    found = [
        _weight(at, number, plugin, bounds)
        for at, profile in enumerate(yaml.safe_load(text).get("schedulingProfiles") or ())
        for number, plugin in enumerate(profile.get("plugins") or ())
        if "weight" in plugin
    ]
    if not found:
        raise SearchError("no weight is written in it: give each scorer one in schedulingProfiles")
    unknown = sorted(bounds.keys() - {each.name for each in found})
    if unknown:
        raise SearchError(f"no weight of {unknown[0]!r} is written in it: {', '.join(each.name for each in found)}")
    return found


def _weight(at: int, number: int, plugin: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]) -> Weight:
    name, value = str(plugin["pluginRef"]), float(plugin["weight"])
    low, high = bounds.get(name, (0.0, DEFAULT_FACTOR * max(1.0, value)))
    return Weight(at, number, name, value, low, high)


def variants(base: Contender, weights: Sequence[Weight], count: int, seed: int) -> list[Contender]:
    """The configuration itself, and `count` others: each weight is drawn once from each of `count` equal parts of its
    bounds, so that few variants reach everywhere."""
    random = Random(f"search {seed}")
    columns = []
    for weight in weights:
        parts = [*range(count)]
        random.shuffle(parts)
        span = (weight.high - weight.low) / max(1, count)
        columns.append([round(weight.low + span * (part + random.random()), 2) for part in parts])
    drawn = zip(*columns, strict=True)
    return [base, *(_variant(base, weights, values, number + 1) for number, values in enumerate(drawn))]


def _variant(base: Contender, weights: Sequence[Weight], values: Sequence[float], number: int) -> Contender:
    document = yaml.safe_load(base.text or "")
    for weight, value in zip(weights, values, strict=True):
        document["schedulingProfiles"][weight.profile]["plugins"][weight.plugin]["weight"] = value
    return Contender(f"variant {number}", yaml.safe_dump(document, sort_keys=False))


def rounds(seed: int) -> list[tuple[int, ...]]:
    """The seeds of each round."""
    found, first = [], TRAINING_SEED + seed
    for count in ROUND_SEEDS:
        found.append(tuple(range(first, first + count)))
        first += count
    return found


@dataclass(frozen=True, slots=True)
class Trial:
    """A variant, and the figure of each seed that it had."""

    contender: Contender
    values: tuple[float, ...] = ()

    def score(self, figure: Figure) -> float:
        """Less is better; a variant that did not serve everything is last."""
        if not self.values or not all(map(isfinite, self.values)):
            return inf
        return -fmean(self.values) if figure.is_more_better else fmean(self.values)


def study_of_round(study: Study, trials: Sequence[Trial], seeds: tuple[int, ...]) -> Study:
    """What a round runs."""
    return replace(study, contenders=tuple(trial.contender for trial in trials), seeds=seeds)


def judged(trials: Sequence[Trial], study: Study, results: Results, figure: Figure) -> list[Trial]:
    """With the figures of a round, the best first."""
    found = [
        replace(trial, values=(*trial.values, *(
            getattr(results[Run(number, point, seed)], figure.name)
            for point in range(len(study.points)) for seed in study.seeds
        )))
        for number, trial in enumerate(trials)
    ]  # fmt: skip
    return sorted(found, key=lambda trial: trial.score(figure))


def kept(trials: Sequence[Trial], base: Contender) -> list[Trial]:
    """The better third, and the configuration itself."""
    better = [trial for trial in trials if trial.contender is not base][: max(1, len(trials) // KEPT_SHARE)]
    return [*(trial for trial in trials if trial.contender is base), *better]
