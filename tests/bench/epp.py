"""`make bench-epp`: what a decision costs, what the index weighs, how a burst spreads.

Prints tables and writes build/bench/epp.json; the benches of scraping and of whole requests, which are targets of their
own, too, follow. One process, one core, no network: the pure picker with its default configuration. Times are CPU time
of the thread, garbage collection included, so that what else the host does stays out. Decision time is split into
parsing the JSON body (orjson alone, for comparison) and everything else.
"""

import argparse
import gc
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import thread_time as cpu_seconds

import orjson

from epp.config import default_config
from epp.datalayer.producers.prefix_index import PrefixIndex
from epp.domain import Endpoint, EndpointId, EngineMetrics, Outcome, Pick, PoolId, PoolSpec, PrefixLearned, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.picking.rewrite import replace_model
from epp.testing import NOBODY
from gateway.service.lifecycle import GC_THRESHOLDS

POOL = PoolId("bench/pool")
ENDPOINTS = (4, 16, 100, 1000)
SIZES = {"1 KB": 1_000, "32 KB": 32_000, "400 KB": 400_000}
HEADERS = {"content-type": "application/json", "x-request-id": "bench"}
# Half the requests continue one of these prompts, half are new: matching and learning both happen.
SHARED_PROMPTS = 20
CHAIN = 125
PROMPT_BLOCKS = (1, 16, 500)  # of the index that is weighed
RESULT = Path("build/bench/epp.json")


def picker(endpoints: int) -> Picker:
    """A picker over so many endpoints, all scraped once, their believed caches full as after an hour of work."""
    made = Picker(default_config(), random=Random(1), replica="b", observer=NullObserver())
    found = tuple(
        Endpoint(EndpointId(f"10.0.{at // 250}.{at % 250}:8000"), f"10.0.{at // 250}.{at % 250}", 8000, f"e{at}")
        for at in range(endpoints)
    )
    made.replace_pools({POOL: PoolSpec(POOL, found)}, 0.0)
    # 27 000 blocks are an 80 GB GPU with an 8B model; a thousand of those would fill the bench's own memory.
    engine_blocks, random = (27_000 if endpoints <= 100 else 4_000), Random(2)
    for at, endpoint in enumerate(found):
        metrics = EngineMetrics(at % 3, 4 + at % 5, 0.3, block_size=16, block_count=engine_blocks, started_at=1.0)
        made.scraped(POOL, endpoint.id, metrics, 0.9)
    for endpoint in found:
        for _ in range(engine_blocks // 4 // CHAIN):
            blocks = tuple(random.getrandbits(64) for _ in range(CHAIN))
            made.apply(PrefixLearned(POOL, endpoint.id, blocks), 0.9)
    return made


def bodies(size: int, count: int, random: Random) -> list[bytes]:
    """Chat requests of so many bytes: a shared or new system prompt, and a question of its own."""

    def words(length: int, seed: int) -> str:
        draw = Random(seed)
        return "".join(f"{draw.randrange(10**6)} " for _ in range(length // 7 + 1))[:length]

    shared = [words(size * 9 // 10, number) for number in range(SHARED_PROMPTS)]
    made = []
    for number in range(count):
        system = random.choice(shared) if number % 2 else words(size * 9 // 10, 1000 + number)
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": words(size // 10, 10**6 + number)},
        ]
        made.append(orjson.dumps({"model": "m", "messages": messages, "stream": True}))
    return made


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def decision_times(endpoints: int, size: int, rounds: int) -> dict[str, float]:
    """Microseconds of CPU of one pick, and of orjson on the same body."""
    random = Random(size + endpoints)
    made, sent = picker(endpoints), bodies(size, rounds, random)
    gc.collect()
    gc.freeze()  # both as the service does once it has started
    gc.set_threshold(*GC_THRESHOLDS)
    now, parse, whole = 1.0, [], []
    live: list[Pick] = []
    for body in sent:
        now += 0.001
        began = cpu_seconds()
        orjson.loads(body)
        parsed = cpu_seconds()
        verdict = made.submit(Request(POOL, "POST", "/v1/chat/completions", HEADERS, body), NOBODY, now)
        whole.append((cpu_seconds() - parsed) * 1e6)
        parse.append((parsed - began) * 1e6)
        assert isinstance(verdict, Pick)
        live.append(verdict)
        if len(live) > 64:
            made.settle(live.pop(0).id, Outcome.ENDED, now)
    beyond = [total - json_part for total, json_part in zip(whole, parse, strict=True)]
    warm = slice(rounds // 10, None)
    return {
        "p50": percentile(whole[warm], 0.5), "p99": percentile(whole[warm], 0.99),
        "json_p50": percentile(parse[warm], 0.5),
        "beyond_json_p50": percentile(beyond[warm], 0.5), "beyond_json_p99": percentile(beyond[warm], 0.99),
    }  # fmt: skip


def index_memory(blocks: int, endpoints: int, prompt_blocks: int) -> dict[str, float]:
    """Megabytes per million (block, endpoint) pairs, prompts of so many blocks, all different and all shared."""
    random = Random(1)
    chains = [tuple(random.getrandbits(64) for _ in range(prompt_blocks)) for _ in range(blocks // prompt_blocks)]
    result = {}
    for name, holders in (("different", 1), ("shared", endpoints)):
        tracemalloc.start()
        index = PrefixIndex()
        for slot in range(holders):
            index.set_capacity(slot, blocks)
            for chain in chains:
                index.learn(slot, tuple(block + 0 for block in chain))
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        result[name] = used / 1e6 / (blocks * holders / 1e6)
    return result


def rewrite_times(size: int, rounds: int) -> dict[str, float]:
    """Microseconds of putting another model into a body, and of writing the whole body anew, for comparison."""
    (body,) = bodies(size, 1, Random(1))
    own, anew = [], []
    for _ in range(rounds):
        began = cpu_seconds()
        replaced = replace_model(body, "another-model")
        done = cpu_seconds()
        orjson.dumps({**orjson.loads(body), "model": "another-model"})
        own.append((done - began) * 1e6)
        anew.append((cpu_seconds() - done) * 1e6)
        assert len(replaced) == len(body) + len("another-model") - 1
    return {"p50": percentile(own, 0.5), "p99": percentile(own, 0.99), "written_anew_p50": percentile(anew, 0.5)}


def burst(prompts_differ: bool) -> dict[str, float]:
    """200 requests between two scrapes over 8 idle endpoints."""
    made = Picker(default_config(), random=Random(1), replica="b", observer=NullObserver())
    found = tuple(Endpoint(EndpointId(f"10.0.0.{at}:8000"), f"10.0.0.{at}", 8000, f"e{at}") for at in range(8))
    made.replace_pools({POOL: PoolSpec(POOL, found)}, 0.0)
    for endpoint in found:
        made.scraped(POOL, endpoint.id, EngineMetrics(0, 0, 0.0, block_size=16, block_count=27_000), 1.0)
    counts: Counter[str] = Counter()
    for number in range(200):
        text = f"{number} " * 1000 if prompts_differ else "the same words " * 600
        body = orjson.dumps({"model": "m", "prompt": text})
        verdict = made.submit(Request(POOL, "POST", "/v1/completions", HEADERS, body), NOBODY, 1.03 + number * 1e-5)
        assert isinstance(verdict, Pick)
        counts[verdict.targets[0]] += 1
    return {"max_over_mean": max(counts.values()) * 8 / 200, "endpoints_used": len(counts)}


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000, help="decisions per cell")
    parser.add_argument("--only-decisions", action="store_true", help="neither scraping nor whole requests")
    given = parser.parse_args(arguments)
    rounds = given.rounds
    times: dict[str, dict[str, dict[str, float]]] = {}
    print("decision, microseconds (p99 of 400 KB and 1000 endpoints from fewer rounds)")
    print(f"{'endpoints':>9} {'body':>7} {'p50':>8} {'p99':>8} {'json p50':>9} {'rest p50':>9} {'rest p99':>9}")
    for endpoints in ENDPOINTS:
        for name, size in SIZES.items():
            count = max(200, rounds // (4 if size > 100_000 or endpoints > 500 else 1))
            cell = decision_times(endpoints, size, count)
            times.setdefault(str(endpoints), {})[name] = cell
            print(
                f"{endpoints:>9} {name:>7} {cell['p50']:8.0f} {cell['p99']:8.0f} {cell['json_p50']:9.0f} "
                f"{cell['beyond_json_p50']:9.0f} {cell['beyond_json_p99']:9.0f}"
            )
    memory = {size: index_memory(200_000, 4, size) for size in PROMPT_BLOCKS}
    for size, found in memory.items():
        print(
            f"index, MB per million held blocks, prompts of {size}: all different {found['different']:.0f}, "
            f"shared {found['shared']:.0f}"
        )
    spread = {"different": burst(prompts_differ=True), "same": burst(prompts_differ=False)}
    for name, found in spread.items():
        print(
            f"burst of 200, {name} prompts: max/mean {found['max_over_mean']:.2f} on {found['endpoints_used']:.0f} of 8"
        )
    rewrites = {name: rewrite_times(size, 200) for name, size in SIZES.items()}
    for name, cell in rewrites.items():
        print(
            f"model rewritten in {name}: {cell['p50']:.0f} us, p99 {cell['p99']:.0f} "
            f"(the whole body anew: {cell['written_anew_p50']:.0f})"
        )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    report = {"decision_us": times, "index_mb_per_million": memory, "burst": spread, "rewrite_us": rewrites}
    RESULT.write_text(json.dumps(report, indent=2))
    print(f"written to {RESULT}", flush=True)
    if not given.only_decisions:
        for other in ("scraping", "epp_requests"):
            print(f"\n{other.replace('_', ' ')}", flush=True)
            subprocess.run([sys.executable, "-m", f"tests.bench.{other}"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
