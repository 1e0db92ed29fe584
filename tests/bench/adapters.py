"""`make bench-adapters`: loads of LoRA adapters and time to the first token, 200 adapters on 8 servers of 4 slots.

Virtual time, 40 s measured after 60 s, five seeds. Prints the table of docs/performance-policies.md.
"""

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import fmean
from typing import Final

from tests.lab.adapters import Loaded, loaded, policies

RATES: Final = (12.0, 20.0)
SEEDS: Final = (81, 82, 83, 84, 85)
WINDOW: Final = (60.0, 100.0)


def run(setting: tuple[str, float, int]) -> Loaded:
    """One policy, rate and seed."""
    policy, rate, seed = setting
    return loaded(policy, rate, seed, WINDOW)


def main() -> None:
    """Run and print."""
    print("| requests/s | policy | loads a request | from disk | TTFT p50 ms | p90 ms, by seed | hit ratio |")
    print("|---:|---|---:|---:|---:|---|---:|")
    with ProcessPoolExecutor() as executor:
        for rate, policy in product(RATES, policies()):
            found = list(executor.map(run, [(policy, rate, seed) for seed in SEEDS]))
            loads, disk = fmean(each.loads for each in found), fmean(each.disk_loads for each in found)
            p50 = 1000 * fmean(each.measures.ttft_p50 for each in found)
            p90 = ", ".join(f"{1000 * each.measures.ttft_p90:.0f}" for each in found)
            hits = fmean(each.measures.hit_ratio for each in found)
            print(f"| {rate:g} | {policy} | {loads:.3f} | {disk:.3f} | {p50:.0f} | {p90} | {hits:.3f} |", flush=True)


if __name__ == "__main__":
    main()
