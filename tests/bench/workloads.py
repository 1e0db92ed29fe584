"""`make bench-workloads`: every policy under every workload of the lab at 60, 90 and 120 % load, five seeds each.

8 simulated H100s in virtual time, 15 s measured after 15 s. 100 % is about the rate at which least-request has its
greatest goodput, as `--saturate` finds it. Prints a table of p90 TTFT for docs/performance-policies.md: mean ± half the
width of a 95 % confidence interval; the last column sets the default against the best of the others, seed by seed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from math import isfinite, sqrt
from statistics import fmean, stdev
from typing import Final

from lab.simulation.measures import Measures
from lab.workloads.wider import WIDER
from tests.bench.policies import BASELINE, PROFILE, Run, Setting, Window, contenders, saturation
from tests.lab.report import OURS

LOADS: Final = (0.6, 0.9, 1.2)
SEEDS: Final = (91, 92, 93, 94, 95)
WINDOW: Final = Window(15.0, 15.0)
FULL_RATES: Final[Mapping[str, float]] = {
    "chat": 55.0, "shared": 60.0, "one-12000": 44.0, "agents": 10.0, "agents-long": 28.0, "traces": 40.0, "rag": 33.0,
    "batch": 91.0, "media": 225.0, "adapters": 37.0, "adapters-200": 17.0,
}  # fmt: skip
# Student's t for 95 % and four degrees of freedom: five seeds.
_T: Final = 2.776


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval."""
    return fmean(values), _T * stdev(values) / sqrt(len(values))


def cell(values: Sequence[float]) -> str:
    """In milliseconds; a dash where a seed's runs were not served."""
    if not all(map(isfinite, values)):
        return "–"
    mean, half = interval([1000 * value for value in values])
    return f"{mean:.0f} ± {half:.0f}"


def verdict(ours: Sequence[float], others: Mapping[str, Sequence[float]]) -> str:
    """The default against the best of the others by mean: the difference of each seed, with its interval."""
    name = min(others, key=lambda each: fmean(others[each]))
    best = others[name]
    if not all(map(isfinite, (*ours, *best))):
        return f"best, against {name}" if fmean(ours) < fmean(best) else f"behind {name}"
    mean, half = interval([(one - other) / other for one, other in zip(ours, best, strict=True)])
    word = "ties with" if abs(mean) <= half else "beats" if mean < 0 else "behind"
    difference = f"{100 * mean:+.0f}".replace("-", "−")
    return f"{difference} ± {100 * half:.0f} %, {word} {name}"


def compare(workload: str, load: float, executor: Executor) -> Mapping[str, Sequence[Measures]]:
    """Each policy's runs, seed by seed."""
    names, setting = list(contenders()), Setting(PROFILE, workload, WINDOW)
    runs = [setting.run(name, load * FULL_RATES[workload], seed) for name in names for seed in SEEDS]
    found = iter(list(executor.map(Run.measures, runs)))
    return {name: [next(found) for _ in SEEDS] for name in names}


def main(arguments: Sequence[str]) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Compare policies under all workloads in virtual time.")
    parser.add_argument("--saturate", action="store_true", help="find the rates of 100 % load")
    parser.add_argument("--workloads", nargs="+", choices=tuple(WIDER), default=tuple(FULL_RATES))
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS, metavar="SHARE", help="of the rate of 100 %%")
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor() as executor:
        if options.saturate:
            for name in options.workloads:
                rate = saturation(Setting(PROFILE, name, WINDOW), BASELINE, executor)
                print(f'    "{name}": {rate:.1f},', flush=True)
            return
        print(f"| workload, load | {' | '.join(contenders())} | hits | default against the best other |")
        print("|---|" + "---:|" * (len(contenders()) + 1) + "---|")
        for name in options.workloads:
            for load in options.loads:
                found = compare(name, load, executor)
                times = {policy: [each.ttft_p90 for each in runs] for policy, runs in found.items()}
                hits = fmean(each.hit_ratio for each in found[OURS])
                cells = " | ".join(map(cell, times.values()))
                ours = times.pop(OURS)
                print(f"| {name} {load:.0%} | {cells} | {hits:.2f} | {verdict(ours, times)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
