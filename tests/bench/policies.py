"""`make bench-policies`: policies compared on 8 simulated H100s in virtual time.

For each workload the saturation is measured with least-request: the rate at which its goodput is greatest (with another
policy by --baseline). Then every policy runs at shares of that rate, each with the same five seeds. Two shares are
beyond saturation: they show who still serves when the others no longer do. Runs are spread over all cores, which
changes nothing but the time. Prints a table, writes build/bench/policies.json, and with --publish renews
docs/performance-policies.md and its figure.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean

from epp.config import SchedulerConfig, parse_config
from epp.config.defaults import default_config
from lab.simulation.baselines import least_request, round_robin
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Measures, measure
from lab.simulation.policies import Pointsman, Policy
from lab.workloads.conversations import WORKLOADS, Workload
from lab.workloads.wider import WIDER
from model_sim import profiles
from model_sim.profiles import Profile
from tests.lab import figure, report
from tests.lab.report import Row

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "bench" / "policies.json"
PROFILE = "h100-llama-3.1-8b"
ENGINES = 8
LOADS = (0.3, 0.6, 0.9, 1.2, 1.5)
SEEDS = (51, 52, 53, 54, 55)
"""None of those that the default configuration was tuned on."""
SATURATION_SEEDS = (26, 27)
BASELINE = "least-request"
"""What any proxy has; its saturation is the measure of all loads."""
FIRST_RATE = 18.0
COARSE, FINE = 1.5, 1.1


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of virtual time: caches fill during `warm`, what arrives in `span` is measured."""

    warm: float
    span: float


FULL, QUICK = Window(60.0, 60.0), Window(30.0, 20.0)


PolicyMaker = Callable[[Profile, Workload, int, int], Policy]
"""`(profile, workload, engines, seed)`"""


def _pointsman(config: SchedulerConfig) -> PolicyMaker:
    def make(profile: Profile, workload: Workload, engines: int, seed: int) -> Policy:
        return Pointsman(config, engines, engine_config(profile, workload), Random(f"picker {seed}"))

    return make


def policies() -> Mapping[str, PolicyMaker]:
    """All that are compared, ours last."""
    path = ROOT / "config" / "examples" / "queue-kv-prefix.yaml"
    return {
        "round-robin": lambda profile, workload, engines, seed: round_robin(engines),
        "least-request": lambda profile, workload, engines, seed: least_request(engines, Random(f"least {seed}")),
        "seed 2/2/3": _pointsman(parse_config(path.read_text(encoding="utf-8"), path.name)),
        "default": _pointsman(default_config()),
    }


GUIDE = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: prefix-cache-scorer}, {type: queue-scorer}, {type: kv-cache-utilization-scorer},
          {type: no-hit-lru-scorer}]
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: prefix-cache-scorer, weight: 3}
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: no-hit-lru-scorer, weight: 2}
"""
"""What upstream's guide sets up."""
SESSION = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: session-affinity-scorer, parameters: {strategy: session_id}}, {type: queue-scorer},
          {type: active-request-scorer}]
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: session-affinity-scorer, weight: 10}
  - {pluginRef: queue-scorer, weight: 1}
  - {pluginRef: active-request-scorer, weight: 1}
"""
"""A conversation stays where it was, by whatever names it; a new one goes where least is to do."""


def contenders() -> Mapping[str, PolicyMaker]:
    """The policies, and two more that `tests.bench.workloads` compares."""
    *others, ours = policies().items()
    more = {"guide": _pointsman(parse_config(GUIDE, "guide")), "session": _pointsman(parse_config(SESSION, "session"))}
    return {**dict(others), **more, **dict([ours])}


@dataclass(frozen=True, slots=True)
class Run:
    """One policy under one workload's load, named so that another process can make them."""

    profile: str
    workload: str
    policy: str
    rate: float
    window: Window
    seed: int
    engines: int = ENGINES

    def measures(self) -> Measures:
        """Run it. For each seed all policies get the same conversations."""
        profile, workload = profiles.load(self.profile), WIDER[self.workload]
        until = self.window.warm + self.window.span
        policy = contenders()[self.policy](profile, workload, self.engines, self.seed)
        fleet = Fleet([profile.latency] * self.engines, engine_config(profile, workload), policy, self.seed)
        records = fleet.run(workload.conversations(self.rate, until, self.seed), until)
        return measure(records, self.window.warm, until, self.engines)


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of one workload have in common."""

    profile: str
    workload: str
    window: Window

    def run(self, policy: str, rate: float, seed: int) -> Run:
        """One of them."""
        return Run(self.profile, self.workload, policy, rate, self.window, seed)


def saturation(setting: Setting, baseline: str, executor: Executor) -> float:
    """The rate with the baseline's greatest mean goodput: up in coarse steps, then around the best in fine ones."""

    def goodput(rate: float) -> float:
        runs = [setting.run(baseline, rate, seed) for seed in SATURATION_SEEDS]
        return fmean(each.goodput for each in executor.map(Run.measures, runs))

    found = {FIRST_RATE: goodput(FIRST_RATE)}
    while max(found.values()) / 2 < found[max(found)]:
        rate = max(found) * COARSE
        found[rate] = goodput(rate)
    best = max(found, key=found.__getitem__)
    for rate in (best * FINE**step for step in (-3, -2, -1, 1, 2, 3)):
        found[rate] = goodput(rate)
    return max(found, key=found.__getitem__)


def compare(setting: Setting, saturated: float, load: float, seeds: Sequence[int], executor: Executor) -> Sequence[Row]:
    """Every policy at one load, seed by seed."""
    names = list(policies())
    runs = [setting.run(name, load * saturated, seed) for name in names for seed in seeds]
    measures = iter(list(executor.map(Run.measures, runs)))
    return [Row(setting.workload, load, name, tuple(next(measures) for _ in seeds)) for name in names]


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    options = _options(arguments)
    window, seeds = (QUICK, SEEDS[:1]) if options.quick else (FULL, SEEDS)
    rows: list[Row] = []
    saturations: dict[str, float] = {}
    print(
        f"{ENGINES} engines, profile {options.profile}, {len(seeds)} seeds, {window.warm:g} s + {window.span:g} s each"
    )
    with ProcessPoolExecutor() as executor:
        for name in options.workloads:
            setting = Setting(options.profile, name, window)
            print(f"\n{WORKLOADS[name].summary}", flush=True)
            rate = saturations[name] = saturation(setting, options.baseline, executor)
            print(f"{options.baseline} saturates at {rate:.1f} requests/s\n{report.HEADING}", flush=True)
            for load in LOADS:
                found = compare(setting, rate, load, seeds, executor)
                rows += found
                print("\n".join(map(report.line, found)), flush=True)
    print("\n" + "\n".join(report.margins(rows)))
    document = report.document(options.profile, ENGINES, seeds, saturations, rows)
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
    parser.add_argument("--baseline", choices=tuple(policies()), default=BASELINE, help="whose saturation is 100 %%")
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=tuple(WORKLOADS))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
