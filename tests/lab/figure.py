"""Draws the bench's document: one column per workload, TTFT, hit ratio and goodput by load, a line per policy."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

COLOURS = {"round-robin": "#b0b0b0", "least-request": "#7a7a7a", "seed 2/2/3": "#e08214", "default": "#1f6fb4"}
PANELS = (
    ("ttft_p90", "TTFT p90, ms", 1000),
    ("hit_ratio", "prefix hit ratio", 1),
    ("goodput", "goodput, requests/s", 1),
)


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write one PNG; bars of one standard deviation."""
    import matplotlib as mpl  # a bench's figure only: the lab itself needs no plotting

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogFormatter, ScalarFormatter

    workloads = list(document["saturation"])
    figure, axes = plt.subplots(len(PANELS), len(workloads), figsize=(4 * len(workloads), 8), squeeze=False)
    for column, workload in enumerate(workloads):
        rows = [row for row in document["rows"] if row["workload"] == workload]
        for line, (measure, label, factor) in enumerate(PANELS):
            axis = axes[line][column]
            for policy, colour in COLOURS.items():
                of_policy = [row for row in rows if row["policy"] == policy]
                values = [row["figures"][measure] for row in of_policy]
                axis.errorbar(
                    [100 * row["load"] for row in of_policy],
                    [_scaled(value["mean"], factor) for value in values],
                    [_scaled(value["deviation"], factor) for value in values],
                    label=policy, color=colour, marker="o", markersize=4, capsize=2,
                )  # fmt: skip
            if line == 0:
                axis.set_title(f"{workload}\n(saturation {document['saturation'][workload]:.0f} requests/s)")
                axis.set_yscale("log")
                axis.yaxis.set_major_formatter(ScalarFormatter())
                axis.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
            else:
                axis.set_ylim(bottom=0)
            if column == 0:
                axis.set_ylabel(label)
            if line == len(PANELS) - 1:
                axis.set_xlabel("% of least-request's saturation")
            axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _scaled(value: float | None, factor: float) -> float:
    return nan if value is None else factor * value
