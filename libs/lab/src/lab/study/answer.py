"""What came of a study, as plain values: what tables, the page and the JSON file are made from. Pure.

Contenders are compared with the first one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from lab.simulation.measures import Measures
from lab.study.statistics import Difference, Interval, difference, interval
from lab.study.study import Results, Run, Study

GOOD_SHARE = 0.99
"""A load is carried where so many requests keep the limits."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured: how it is shown, and whether more of it is better."""

    name: str
    title: str
    unit: str
    factor: float
    digits: int
    is_more_better: bool


FIGURES = (
    Figure("ttft_p50", "TTFT p50", "ms", 1000, 0, is_more_better=False),
    Figure("ttft_p90", "TTFT p90", "ms", 1000, 0, is_more_better=False),
    Figure("ttft_p99", "TTFT p99", "ms", 1000, 0, is_more_better=False),
    Figure("itl_p90", "gap p90", "ms", 1000, 1, is_more_better=False),
    Figure("hit_ratio", "hit ratio", "", 1, 3, is_more_better=True),
    Figure("good_share", "within limits", "%", 100, 1, is_more_better=True),
    Figure("goodput", "goodput", "/s", 1, 1, is_more_better=True),
    Figure("imbalance", "busiest / mean", "", 1, 2, is_more_better=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One contender at one point: each figure, and its difference to the first contender's."""

    contender: str
    point: int
    figures: Mapping[str, Interval]
    differences: Mapping[str, Difference]


def rows_of(study: Study, results: Results) -> list[Row]:
    """All, point by point, contenders in order."""
    return [
        _row(study, results, contender, point)
        for point in range(len(study.points))
        for contender in range(len(study.contenders))
    ]


def carried(study: Study, rows: Sequence[Row]) -> Mapping[str, int | None]:
    """For each contender the hardest point that it carries, with all that are easier; None where it carries none."""
    order = sorted(range(len(study.points)), key=lambda at: study.points[at].rate / study.points[at].servers)
    return {each.name: _hardest(each.name, order, rows) for each in study.contenders}


def _hardest(contender: str, order: Sequence[int], rows: Sequence[Row]) -> int | None:
    shares = {row.point: row.figures["good_share"].mean for row in rows if row.contender == contender}
    hardest = None
    for point in order:
        if shares[point] < GOOD_SHARE:
            break
        hardest = point
    return hardest


def _row(study: Study, results: Results, contender: int, point: int) -> Row:
    ours = [results[Run(contender, point, seed)] for seed in study.seeds]
    first = [results[Run(0, point, seed)] for seed in study.seeds]
    return Row(
        study.contenders[contender].name,
        point,
        {figure.name: interval(_values(ours, figure)) for figure in FIGURES},
        {
            figure.name: difference(
                _values(ours, figure), _values(first, figure), is_more_better=figure.is_more_better
            )
            for figure in FIGURES
        } if contender else {},
    )  # fmt: skip


def _values(runs: Sequence[Measures], figure: Figure) -> list[float]:
    return [getattr(run, figure.name) for run in runs]


def plain(value: float | None) -> float | None:
    """As JSON has it: what is not finite is null."""
    return value if value is not None and isfinite(value) else None
