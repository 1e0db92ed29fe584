"""A command line and the environment to settings.

Options that matter act, those of vLLM that do not are accepted, any other is refused with the nearest match.
`--config FILE` holds the same options as YAML; the command line goes before it. The only I/O is that file, a file
named by `--profile`, and the host's name.
"""

import argparse
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_sim import profiles
from model_sim.command_line import options as known
from model_sim.command_line import values, words
from model_sim.command_line.values import UsageError
from model_sim.engine.profile import EngineConfig
from model_sim.replica.settings import Settings

MAX_DATA_PARALLEL_SIZE = 64
"""Engines of one server: one node's GPUs eight times over."""
MAX_FLEET = 1000
"""Servers of one process, each with a port of its own."""
DEFAULT_MAX_MODEL_LEN = 131072
"""The context of the models that the profiles stand for."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`model-sim fleet`: that many simulators on consecutive ports."""

    size: int
    base_port: int
    settings: Settings


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings | Fleet:
    """Settings from a command line; UsageError names the option that is wrong."""
    given = list(arguments)
    fleet = given[:1] == ["fleet"]
    if given[:1] in (["serve"], ["fleet"]):
        given = given[1:]
    parser = known.parser(fleet=fleet)
    given = words.with_config(parser, [words.canonical(word) for word in given])
    options, rest = parser.parse_known_args(given)
    words.refuse_unknown(parser, rest)
    settings = _settings(options, environment)
    if not fleet:
        return settings
    if not 1 <= options.size <= MAX_FLEET:
        raise UsageError(f"argument --size: expected 1 to {MAX_FLEET}, got {options.size}")
    return Fleet(options.size, options.base_port, settings)


def _settings(options: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    model = options.model_tag or options.model
    if not model:
        raise UsageError("argument MODEL: a model name is required")
    if not 0 <= options.port <= 65535:
        raise UsageError(f"argument --port: expected 0 to 65535, got {options.port}")
    if not 1 <= options.data_parallel_size <= MAX_DATA_PARALLEL_SIZE:
        raise UsageError(
            f"argument --data-parallel-size: expected 1 to {MAX_DATA_PARALLEL_SIZE}, got {options.data_parallel_size}"
        )
    try:
        profile = profiles.load(options.profile)
    except profiles.ProfileError as error:
        raise UsageError(f"argument --profile: {error}") from error
    modules = tuple(module for text in options.lora_modules for module in values.lora_modules(text))
    return Settings(
        model=model,
        served_model_names=tuple(options.served_model_name),
        host=options.host,
        port=options.port,
        api_keys=tuple(options.api_key) or _keys(environment),
        lora_modules=modules,
        enable_lora=options.enable_lora,
        engine=_engine(options, profile),
        profile=profile.latency,
        profile_name=profile.name,
        max_model_len=options.max_model_len or profile.engine.get("max_model_len", DEFAULT_MAX_MODEL_LEN),
        seed=options.seed,
        mode=options.mode,
        data_parallel_size=options.data_parallel_size,
        prompt_tokens_details=options.enable_prompt_tokens_details,
        force_include_usage=options.enable_force_include_usage,
        max_queued_requests=options.max_num_queued_reqs,
        pod_name=environment.get("POD_NAME") or options.pod_name or socket.gethostname(),
        namespace=environment.get("POD_NAMESPACE") or "default",
        enable_admin=options.enable_admin,
        enable_fault_headers=options.enable_fault_headers,
        faults=values.faults(options.faults),
        tokenizer_file=options.tokenizer_file,
        kv_events=values.kv_events(options.kv_events_config),
        shutdown_timeout=options.shutdown_timeout,
        log_level=options.log_level,
    )


def _keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    key = environment.get("VLLM_API_KEY")
    return (key,) if key else ()


def _engine(options: argparse.Namespace, profile: profiles.Profile) -> EngineConfig:
    sizes: dict[str, Any] = {key: value for key, value in profile.engine.items() if key != "max_model_len"}
    for name in (
        "max_num_seqs",
        "max_num_batched_tokens",
        "block_size",
        "num_gpu_blocks",
        "max_loras",
        "max_cpu_loras",
    ):
        given = getattr(options, name)
        if given is not None:
            if given < 1:
                raise UsageError(f"argument --{name.replace('_', '-')}: expected at least 1, got {given}")
            sizes[name] = given
    sizes.setdefault("max_loras", 1)
    sizes.setdefault("max_cpu_loras", sizes["max_loras"])
    sizes["enable_prefix_caching"] = options.enable_prefix_caching
    sizes["enable_chunked_prefill"] = options.enable_chunked_prefill
    if options.max_num_batched_tokens is None and sizes.get("max_num_seqs", 0) > sizes["max_num_batched_tokens"]:
        sizes["max_num_batched_tokens"] = sizes["max_num_seqs"]
    try:
        return EngineConfig(**sizes)
    except ValueError as error:
        raise UsageError(f"argument --{str(error).partition(':')[0].replace('_', '-')}: {error}") from error
