"""`make bench-policies`: policies compared on 8 simulated H100s in virtual time.

For each workload the saturation is measured with least-request: the rate at which its goodput is greatest. Then every
policy runs at shares of that rate, each with the same five seeds. One share is beyond saturation: it shows who still
serves when the others no longer do. Prints a table, writes build/bench/policies.json, and with --figure draws
docs/figures/policies.png.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from epp.config import SchedulerConfig, parse_config
from epp.config.defaults import default_config
from model_sim import profiles
from model_sim.profiles import Profile
from tests.lab import figure
from tests.lab.fleet import Fleet, engine_config
from tests.lab.measures import Measures, Spread, measure, over_seeds
from tests.lab.policies import LeastRequest, Pointsman, Policy, RoundRobin
from tests.lab.workloads import WORKLOADS, Workload

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "bench" / "policies.json"
PROFILE = "h100-llama-3.1-8b"
ENGINES = 8
LOADS = (0.3, 0.6, 0.9, 1.2)
SEEDS = (1, 2, 3, 4, 5)
SATURATION_SEED = 0
FIRST_RATE = 8.0
COARSE, FINE = 1.5, 1.1


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of virtual time: caches fill during `warm`, what arrives in `span` is measured."""

    warm: float
    span: float


FULL, QUICK = Window(90.0, 60.0), Window(30.0, 20.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One policy at one load of one workload."""

    workload: str
    load: float
    rate: float
    policy: str
    figures: Mapping[str, Spread]


PolicyMaker = Callable[[Profile, Workload, int], Policy]


def _pointsman(config: SchedulerConfig) -> PolicyMaker:
    def make(profile: Profile, workload: Workload, seed: int) -> Policy:
        return Pointsman(config, ENGINES, engine_config(profile, workload), Random(f"picker {seed}"))

    return make


def least_request(profile: Profile, workload: Workload, seed: int) -> Policy:
    """The baseline that saturation is measured with."""
    return LeastRequest(ENGINES, Random(f"least {seed}"))


def policies() -> Mapping[str, PolicyMaker]:
    """All that are compared, ours last."""
    path = ROOT / "config" / "demo" / "epp.yaml"
    return {
        "round-robin": lambda profile, workload, seed: RoundRobin(ENGINES),
        "least-request": least_request,
        "seed 2/2/3": _pointsman(parse_config(path.read_text(encoding="utf-8"), path.name)),
        "default": _pointsman(default_config()),
    }


def run_once(
    profile: Profile, workload: Workload, make: PolicyMaker, rate: float, window: Window, seed: int
) -> Measures:
    """One run's figures."""
    until = window.warm + window.span
    policy = make(profile, workload, seed)
    fleet = Fleet(profile, engine_config(profile, workload), ENGINES, policy, seed)
    records = fleet.run(workload.conversations(rate, until, seed), until)
    return measure(records, window.warm, until, ENGINES)


def saturation(profile: Profile, workload: Workload, window: Window) -> float:
    """The rate with the greatest goodput under least-request: up in coarse steps, then around the best in fine ones."""

    def goodput(rate: float) -> float:
        return run_once(profile, workload, least_request, rate, window, SATURATION_SEED).goodput

    found = {FIRST_RATE: goodput(FIRST_RATE)}
    while max(found.values()) / 2 < found[max(found)]:
        rate = max(found) * COARSE
        found[rate] = goodput(rate)
    best = max(found, key=found.__getitem__)
    for rate in (best * FINE**step for step in (-3, -2, -1, 1, 2, 3)):
        found[rate] = goodput(rate)
    return max(found, key=found.__getitem__)


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    options = _options(arguments)
    window, seeds = (QUICK, SEEDS[:1]) if options.quick else (FULL, SEEDS)
    profile = profiles.load(options.profile)
    rows: list[Row] = []
    saturations: dict[str, float] = {}
    print(f"{ENGINES} engines, profile {profile.name}, {len(seeds)} seeds, {window.warm:g} s + {window.span:g} s each")
    for name in options.workloads:
        workload = WORKLOADS[name]
        saturations[name] = saturation(profile, workload, window)
        print(f"\n{workload.summary}: least-request saturates at {saturations[name]:.1f} requests/s\n{HEADING}")
        for load in LOADS:
            for policy, make in policies().items():
                rate = load * saturations[name]
                runs = [run_once(profile, workload, make, rate, window, seed) for seed in seeds]
                rows.append(Row(name, load, rate, policy, over_seeds(runs)))
                print(render(rows[-1]), flush=True)
    document = {
        "profile": profile.name, "engines": ENGINES, "seeds": seeds, "window": asdict(window),
        "saturation": saturations, "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(document, indent=1))
    if options.figure:
        figure.draw(document, ROOT / "docs" / "figures" / "policies.png")


HEADING = "load policy         TTFT p50 ms    p90 ms        p99 ms        hit ratio       goodput/s       offered/s"


def render(row: Row) -> str:
    """One line of the table: mean ± standard deviation over seeds."""
    figures = row.figures

    def cell(name: str, factor: float, digits: int) -> str:
        value = figures[name]
        return f"{value.mean * factor:.{digits}f} ± {value.deviation * factor:.{digits}f}"

    return (
        f"{row.load:3.0%} {row.policy:14} {cell('ttft_p50', 1000, 0):>12}  {cell('ttft_p90', 1000, 0):>12}"
        f"  {cell('ttft_p99', 1000, 0):>12}  {cell('hit_ratio', 1, 3):>14}  {cell('goodput', 1, 1):>14}"
        f"  {cell('offered', 1, 1):>14}"
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare endpoint picking policies in virtual time.")
    parser.add_argument("--quick", action="store_true", help="one seed, short runs")
    parser.add_argument("--figure", action="store_true", help="draw docs/figures/policies.png")
    parser.add_argument("--profile", default=PROFILE, help="a latency profile's name or file")
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=tuple(WORKLOADS))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
