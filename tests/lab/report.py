"""The bench's figures as text, as JSON and as the tables of docs/performance-policies.md. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from statistics import fmean
from typing import Any

from lab.simulation.measures import Measures, Spread, over_seeds

HEADING = "load policy         TTFT p50 ms    p90 ms        p99 ms        hit ratio       goodput/s       offered/s"
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
OURS = "default"
# What policies are compared by, and whether more of it is better.
COMPARED = (("p90 TTFT", "ttft_p90", False), ("hit ratio", "hit_ratio", True), ("goodput", "goodput", True))
TITLES = {"shared": "Shared system prompts", "chat": "Multi-turn chat", "adapters": "LoRA mix"}


@dataclass(frozen=True, slots=True)
class Row:
    """One policy at one load of one workload."""

    workload: str
    load: float
    policy: str
    runs: Sequence[Measures]
    """One for each seed, in the order of the seeds."""

    @property
    def figures(self) -> Mapping[str, Spread]:
        """Every measure over the seeds."""
        return over_seeds(self.runs)


def cell(figure: Spread, factor: float, digits: int) -> str:
    """Mean ± standard deviation; a figure that some seed did not have is a dash."""
    if not isfinite(figure.mean):
        return "–"
    return f"{figure.mean * factor:.{digits}f} ± {figure.deviation * factor:.{digits}f}"


def cells(row: Row) -> Sequence[str]:
    """What is shown of a row, in order."""
    shown = (("ttft_p50", 1000, 0), ("ttft_p90", 1000, 0), ("ttft_p99", 1000, 0), ("hit_ratio", 1, 3),
             ("goodput", 1, 1), ("offered", 1, 1))  # fmt: skip
    return [cell(row.figures[name], factor, digits) for name, factor, digits in shown]


def line(row: Row) -> str:
    """One line of the table on the terminal."""
    p50, p90, p99, *rest = cells(row)
    return f"{row.load:4.0%} {row.policy:14} {p50:>12}  {p90:>12}  {p99:>12}" + "".join(
        f"  {each:>14}" for each in rest
    )


def document(
    profile: str, engines: int, seeds: Sequence[int], saturations: Mapping[str, float], rows: Sequence[Row]
) -> dict[str, Any]:
    """What goes into the JSON file; what was not finite is null."""
    return {
        "profile": profile,
        "engines": engines,
        "seeds": list(seeds),
        "saturation": dict(saturations),
        "rows": [
            {
                "workload": row.workload,
                "load": row.load,
                "policy": row.policy,
                "figures": {name: _plain(figure) for name, figure in row.figures.items()},
            }
            for row in rows
        ],
    }


def _plain(figure: Spread) -> dict[str, float | None]:
    is_known = isfinite(figure.mean)
    return {"mean": figure.mean if is_known else None, "deviation": figure.deviation if is_known else None}


def published(page: str, saturations: Mapping[str, float], rows: Sequence[Row]) -> str:
    """The page with its tables renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(saturations, rows)}\n{END}{after}"


def margins(rows: Sequence[Row]) -> Sequence[str]:
    """The default against the best of the others, by means: one line for each workload and load.

    Behind each difference stands in how many of the seeds the default is better / the same.
    """
    lines = [
        "| workload, load | " + " | ".join(name for name, _, _ in COMPARED) + " |",
        "|---|" + "---:|" * len(COMPARED),
    ]
    for (workload, load), group in groupby(rows, key=lambda row: (row.workload, row.load)):
        found = list(group)
        if len(found) == 1:
            continue  # nothing to compare with
        cells_ = [_margin(found, measure, is_more_better) for _, measure, is_more_better in COMPARED]
        lines.append(f"| {workload} {load:.0%} | {' | '.join(cells_)} |")
    return lines


def _margin(rows: Sequence[Row], measure: str, is_more_better: bool) -> str:
    sign = 1 if is_more_better else -1
    values = {row.policy: [getattr(run, measure) for run in row.runs] for row in rows}
    ours = values.pop(OURS)
    best = max(values.values(), key=lambda each: sign * fmean(each))
    pairs = list(zip(ours, best, strict=True))
    better, same = sum(sign * (one - other) > 0 for one, other in pairs), sum(one == other for one, other in pairs)
    return f"{_relative(fmean(ours), fmean(best))} ({better}/{same})"


def _relative(ours: float, other: float) -> str:
    if ours == other:
        return "0 %"
    if not isfinite(ours) or not other:  # there is nothing to divide by
        return "+∞"
    change = (ours - other) / other if isfinite(other) else -1.0
    return f"{100 * change:+.2f} %".replace("-", "−")


def tables(saturations: Mapping[str, float], rows: Sequence[Row]) -> str:
    """One table per workload."""
    lines: list[str] = ["", *margins(rows)]
    for workload, group in groupby(rows, key=lambda row: row.workload):
        lines += [
            "",
            f"### {TITLES[workload]}: saturation {saturations[workload]:.1f} requests/s",
            "",
            "| load | policy | TTFT p50 ms | p90 ms | p99 ms | hit ratio | goodput /s | offered /s |",
            "|---:|---|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [f"| {row.load:.0%} | {row.policy} | {' | '.join(cells(row))} |" for row in group]
    return "\n".join([*lines, ""])
