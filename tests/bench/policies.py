"""`make bench-policies`: policies compared on 8 simulated H100s in virtual time.

For each workload the saturation is measured with least-request: the rate at which its goodput is greatest. Then every
policy runs at shares of that rate, each with the same five seeds. One share is beyond saturation: it shows who still
serves when the others no longer do. Prints a table, writes build/bench/policies.json, and with --publish
renews docs/performance-policies.md and its figure.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from epp.config import SchedulerConfig, parse_config
from epp.config.defaults import default_config
from model_sim import profiles
from model_sim.profiles import Profile
from tests.lab import figure, report
from tests.lab.fleet import Fleet, engine_config
from tests.lab.measures import Measures, Spread, measure, over_seeds
from tests.lab.policies import LeastRequest, Pointsman, Policy, RoundRobin
from tests.lab.report import Row
from tests.lab.workloads import WORKLOADS, Conversation, Workload

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "bench" / "policies.json"
PROFILE = "h100-llama-3.1-8b"
ENGINES = 8
LOADS = (0.3, 0.6, 0.9, 1.2)
SEEDS = (31, 32, 33, 34, 35)
"""None of those that the default configuration was tuned on."""
SATURATION_SEED = 0
FIRST_RATE = 8.0
COARSE, FINE = 1.5, 1.1


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of virtual time: caches fill during `warm`, what arrives in `span` is measured."""

    warm: float
    span: float


FULL, QUICK = Window(60.0, 60.0), Window(30.0, 20.0)


Cell = tuple[str, Mapping[str, Spread]]
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
    profile: Profile,
    workload: Workload,
    make: PolicyMaker,
    conversations: Sequence[Conversation],
    window: Window,
    seed: int,
) -> Measures:
    """One run's figures."""
    until = window.warm + window.span
    policy = make(profile, workload, seed)
    fleet = Fleet(profile, engine_config(profile, workload), ENGINES, policy, seed)
    return measure(fleet.run(iter(conversations), until), window.warm, until, ENGINES)


def compare(profile: Profile, workload: Workload, rate: float, window: Window, seeds: Sequence[int]) -> Iterator[Cell]:
    """Every policy on the same conversations, seed by seed."""
    runs: dict[str, list[Measures]] = {name: [] for name in policies()}
    for seed in seeds:
        conversations = tuple(workload.conversations(rate, window.warm + window.span, seed))
        for name, make in policies().items():
            runs[name].append(run_once(profile, workload, make, conversations, window, seed))
    for name, measures in runs.items():
        yield name, over_seeds(measures)


def saturation(profile: Profile, workload: Workload, window: Window) -> float:
    """The rate with the greatest goodput under least-request: up in coarse steps, then around the best in fine ones."""

    def goodput(rate: float) -> float:
        conversations = tuple(workload.conversations(rate, window.warm + window.span, SATURATION_SEED))
        return run_once(profile, workload, least_request, conversations, window, SATURATION_SEED).goodput

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
        rate = saturations[name] = saturation(profile, workload, window)
        print(f"\n{workload.summary}: least-request saturates at {rate:.1f} requests/s\n{report.HEADING}")
        for load in LOADS:
            for policy, figures in compare(profile, workload, load * rate, window, seeds):
                rows.append(Row(name, load, policy, figures))
                print(report.line(rows[-1]), flush=True)
    document = report.document(profile.name, ENGINES, seeds, saturations, rows)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(document, indent=1, allow_nan=False))
    if options.publish:
        figure.draw(document, ROOT / "docs" / "figures" / "policies.png")
        page = ROOT / "docs" / "performance-policies.md"
        page.write_text(report.published(page.read_text(encoding="utf-8"), saturations, rows), encoding="utf-8")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare endpoint picking policies in virtual time.")
    parser.add_argument("--quick", action="store_true", help="one seed, short runs")
    parser.add_argument(
        "--publish", action="store_true", help="draw docs/figures/policies.png, write the page's tables"
    )
    parser.add_argument("--profile", default=PROFILE, help="a latency profile's name or file")
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=tuple(WORKLOADS))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
