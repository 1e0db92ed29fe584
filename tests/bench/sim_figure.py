"""Draw docs/figures/model-sim-load.svg: TTFT and ITL against load for two profiles, the saturation knee included.

    python -m tests.bench.sim_figure

Virtual time, Poisson arrivals, prompts of 1000 tokens and answers of 200 on average: the same numbers on any host.
"""

from pathlib import Path
from random import Random
from statistics import quantiles

import matplotlib as mpl
from matplotlib import pyplot

from model_sim import profiles
from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig
from model_sim.engine.request import Request

TARGET = Path("docs/figures/model-sim-load.svg")
PROMPT_TOKENS = 1000
OUTPUT_TOKENS = 200
SECONDS = 120.0
WARM_UP = 30.0
RATES = {
    "h100-llama-3.1-8b": (1, 2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19, 20),
    "2xh100-qwen3-32b": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
}


def measure(name: str, rate: float) -> tuple[list[float], list[float]]:
    """Times to first token and mean times between tokens of the requests that arrive after the warm-up."""
    profile = profiles.load(name)
    sizes = profile.engine
    config = EngineConfig(
        max_num_seqs=sizes["max_num_seqs"],
        max_num_batched_tokens=sizes["max_num_batched_tokens"],
        num_gpu_blocks=sizes["num_gpu_blocks"],
    )
    engine = Engine(config, profile.latency, Random(1))
    random = Random(2)
    now, number = 0.0, 0
    first: list[float] = []
    between: list[float] = []

    def collect(until: float) -> None:
        for output in engine.step(until):
            done = output.completion
            if done is not None and done.arrival >= WARM_UP:
                first.append(done.first_token - done.arrival)
                if done.output_tokens > 1:
                    between.append((done.finished - done.first_token) / (done.output_tokens - 1))

    while now < SECONDS:
        now += random.expovariate(rate)
        collect(now)
        length = 1 + int(random.expovariate(1 / OUTPUT_TOKENS))
        engine.submit(Request(str(number), PROMPT_TOKENS, length), now)
        number += 1
    collect(1e9)
    return first, between


def main() -> None:
    mpl.rcParams.update({"svg.hashsalt": "model-sim", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(7, 6), sharex=True)
    for (name, rates), colour in zip(RATES.items(), ("tab:blue", "tab:orange"), strict=True):
        measured = [measure(name, rate) for rate in rates]
        for axis, index, scale in ((upper, 0, 1.0), (lower, 1, 1e3)):
            for share, style in ((50, "-"), (99, "--")):
                values = [quantiles(pair[index], n=100)[share - 1] * scale for pair in measured]
                axis.plot(rates, values, style, color=colour, marker=".", label=f"{name}, p{share}")
    upper.set_yscale("log")
    upper.set_ylabel("time to first token, s")
    lower.set_ylabel("time between tokens, ms")
    lower.set_ylim(bottom=0)
    lower.set_xlabel(f"requests per second ({PROMPT_TOKENS} prompt tokens, {OUTPUT_TOKENS} answer tokens on average)")
    upper.legend()
    figure.tight_layout()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, metadata={"Date": None})


if __name__ == "__main__":
    main()
