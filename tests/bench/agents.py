"""`make bench-agents`: coding agents on 8 simulated H100s in virtual time, by policy.

Sessions of three clients (`lab.workloads.agents`), at three rates, three seeds each. Hits are given as a share of what
one server with an endless cache would find. Prints the table of docs/performance-policies.md.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import fmean
from typing import NamedTuple

from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Measures, measure
from lab.workloads.agents import AGENTS
from model_sim import profiles
from tests.bench.policies import ENGINES, PROFILE, policies
from tests.lab.endless import EndlessCache, watched

RATES = (8.0, 14.0, 20.0)
SEEDS = (61, 62, 63)
WARM, UNTIL = 20.0, 50.0


class Result(NamedTuple):
    """One run's figures, and its hits as a share of an endless cache's."""

    measures: Measures
    hit_share: float


def run(setting: tuple[float, str, int]) -> Result:
    """One rate, policy and seed."""
    rate, name, seed = setting
    profile = profiles.load(PROFILE)
    config = engine_config(profile, AGENTS)
    cache = EndlessCache(config.block_size, WARM)
    policy = watched(policies()[name](profile, AGENTS, ENGINES, seed), cache)
    fleet = Fleet([profile.latency] * ENGINES, config, policy, seed)
    found = measure(fleet.run(AGENTS.conversations(rate, UNTIL, seed), UNTIL), WARM, UNTIL, ENGINES)
    return Result(found, found.hit_ratio / cache.hit_ratio)


def line(rate: float, name: str, results: Sequence[Result]) -> str:
    """A row of the table: means over the seeds."""
    found = [result.measures for result in results]
    p50, p90 = (
        1000 * fmean(values) for values in zip(*((each.ttft_p50, each.ttft_p90) for each in found), strict=True)
    )
    hits, gap = fmean(result.hit_share for result in results), 1000 * fmean(each.itl_p90 for each in found)
    good, offered = fmean(each.goodput for each in found), fmean(each.offered for each in found)
    return f"| {rate:g} | {name} | {p50:.0f} | {p90:.0f} | {hits:.3f} | {gap:.0f} | {good:.1f} of {offered:.1f} |"


def main() -> None:
    """Run and print."""
    print("| turns/s | policy | TTFT p50 ms | p90 ms | hits, of an endless cache | gap p90 ms | goodput /s |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    with ProcessPoolExecutor() as executor:
        for rate, name in product(RATES, policies()):
            print(line(rate, name, list(executor.map(run, [(rate, name, seed) for seed in SEEDS]))), flush=True)


if __name__ == "__main__":
    main()
