"""Runs a search: rounds of variants, then the best against the configuration itself on seeds that had no part in it.

A shell, for its processes and its lines on the terminal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TextIO

from lab import running
from lab.study import search
from lab.study.answer import Figure
from lab.study.contenders import Contender
from lab.study.study import Study


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: a number of variants within bounds, by one figure, drawn from a seed."""

    figure: Figure
    bounds: Mapping[str, tuple[float, float]]
    variants: int
    seed: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The best variant, None where nothing was better than what there is; and the study that judges it."""

    best: Contender | None
    study: Study
    notes: tuple[str, ...]


def propose(study: Study, wanted: Search, jobs: int, stream: TextIO) -> Proposal:
    """Search with the study's first configuration, load and fleet. `SearchError` where there is no weight to vary."""
    base, figure = study.contenders[0], wanted.figure
    weights = search.weights_of(base.text or "", wanted.bounds)
    trials = [search.Trial(each) for each in search.variants(base, weights, wanted.variants, wanted.seed)]
    count = len(trials)
    for seeds in search.rounds(wanted.seed):
        of_round = search.study_of_round(study, trials, seeds)
        trials = search.judged(trials, of_round, running.run(of_round, jobs, stream), figure)
        trials = search.kept(trials, base)
    ordered = sorted(trials, key=lambda trial: trial.score(figure))
    best = ordered[0].contender
    ranges = ", ".join(f"{each.name} {each.low:g} to {each.high:g}" for each in weights)
    notes = (f"search: {count - 1} variants by {figure.title}, weights of {ranges}; judged on other seeds",)
    if best is base:
        return Proposal(None, replace(study, contenders=(base,)), notes)
    best = replace(best, name="proposal")
    return Proposal(best, replace(study, contenders=(base, best)), notes)
