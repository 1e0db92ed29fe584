"""`make bench-sick`: one sick engine of eight, in six ways, in virtual time.

The same conversations go to seven healthy engines, and to eight of which one is sick for a while. Measured is the
goodput of what arrives from ten seconds after it falls sick until it recovers, as a share of the seven's, and how long
after its recovery it takes part in every decision again. Prints a table and writes build/bench/sick.json.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from epp.config.defaults import default_config
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Record
from lab.simulation.policies import Pointsman
from lab.simulation.sickness import HEALTHY, Sickness, sicknesses
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "bench" / "sick.json"
PROFILE, WORKLOAD = "h100-llama-3.1-8b", "shared"
ENGINES = 8
RATE = 24.0
"""Requests a second, which seven engines serve with room to spare."""
BEGIN, SETTLED, END, UNTIL = 30.0, 40.0, 75.0, 120.0
SEEDS = (51, 52, 53)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one sickness. Goodputs are shares of the seven healthy engines'; times are seconds."""

    sickness: str
    at_first: float
    settled: float
    sent_there: float
    back_after: float
    """From its recovery until it takes part in every decision, for good."""


def run(sickness: Sickness, engines: int, seed: int) -> tuple[list[Record], float]:
    """One run's records, and when engine 0 last had less than its share of decisions."""
    profile, workload = profiles.load(PROFILE), WORKLOADS[WORKLOAD]
    config = engine_config(profile, workload)
    policy = Pointsman(default_config(), engines, config, Random(f"picker {seed}"))
    reduced = [0.0]

    def watch(now: float) -> None:
        if policy.share(0, now) < 1.0:
            reduced[0] = now

    fleet = Fleet([profile.latency] * engines, config, policy, seed, sickness=sickness, each_second=watch)
    return fleet.run(workload.conversations(RATE, UNTIL, seed), UNTIL), reduced[0]


def good(records: Sequence[Record], begin: float, end: float) -> int:
    """Requests that arrived in this time and kept both limits."""
    return sum(record.is_good() for record in records if begin <= record.arrival < end)


def sent_there(records: Sequence[Record], begin: float, end: float) -> float:
    """The share of this time's requests that went to engine 0."""
    inside = [record for record in records if begin <= record.arrival < end]
    return sum(record.endpoint == 0 for record in inside) / max(1, len(inside))


def figures(task: tuple[str, int]) -> Figures:
    """One sickness and seed."""
    name, seed = task
    seven, _ = run(HEALTHY, ENGINES - 1, seed)
    eight, reduced_until = run(sicknesses(BEGIN, END)[name], ENGINES, seed)
    return Figures(
        name,
        at_first=good(eight, BEGIN, SETTLED) / good(seven, BEGIN, SETTLED),
        settled=good(eight, SETTLED, END) / good(seven, SETTLED, END),
        sent_there=sent_there(eight, SETTLED, END),
        back_after=max(0.0, reduced_until + 1.0 - END),
    )


def worst(found: Sequence[Figures]) -> Figures:
    """Of the seeds."""
    return Figures(
        found[0].sickness,
        at_first=min(each.at_first for each in found),
        settled=min(each.settled for each in found),
        sent_there=max(each.sent_there for each in found),
        back_after=max(each.back_after for each in found),
    )


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    seeds = SEEDS[:1] if "--quick" in arguments else SEEDS
    names = list(sicknesses(BEGIN, END))
    with ProcessPoolExecutor() as executor:
        found = list(executor.map(figures, [(name, seed) for name in names for seed in seeds]))
    rows = [worst(found[at : at + len(seeds)]) for at in range(0, len(found), len(seeds))]
    print(f"{ENGINES} engines, {RATE:g} requests/s, one sick for {END - BEGIN:g} s, the worst of {len(seeds)} seeds;")
    print("goodput in shares of that of seven healthy engines")
    print("sickness       first 10 s   after 10 s   sent there   back after")
    for row in rows:
        figures_ = f"{row.at_first:9.1%}    {row.settled:9.1%}    {row.sent_there:9.1%}   {row.back_after:8.0f} s"
        print(f"{row.sickness:12} {figures_}")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
