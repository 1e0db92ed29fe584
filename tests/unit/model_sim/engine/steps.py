"""An engine with round step times, and what its outputs say."""

from random import Random
from typing import Any

from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import Completion, Output, Request

STEP = LatencyProfile(base=0.010, per_prefill_token=0.001, per_decode_sequence=0.002)
FOREVER = 1e6


def engine(profile: LatencyProfile = STEP, **sizes: Any) -> Engine:
    config = EngineConfig(**{"max_num_seqs": 8, "max_num_batched_tokens": 100, **sizes})
    return Engine(config, profile, Random(0), every_token=True)


def request(name: str, prompt: int = 10, output: int = 3, **more: Any) -> Request:
    return Request(id=name, prompt_tokens=prompt, output_tokens=output, **more)


def times(outputs: list[Output], name: str) -> list[float]:
    return [output.time for output in outputs if output.request_id == name]


def ends(outputs: list[Output]) -> dict[str, Completion]:
    return {output.request_id: output.completion for output in outputs if output.completion}
