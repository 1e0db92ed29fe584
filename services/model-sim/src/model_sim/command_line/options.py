"""The options: those that act, and those of vLLM that are accepted without effect. Pure.

An option may be shortened to a prefix that no other option begins with, as argparse and so vLLM takes it.
"""

import argparse
from typing import Any, NoReturn

from model_sim import profiles
from model_sim.command_line import values, vllm_options
from model_sim.command_line.values import UsageError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parser(*, fleet: bool) -> argparse.ArgumentParser:
    """The parser of `model-sim serve` or of `model-sim fleet`."""
    parser = _Parser(prog="model-sim", description="A vLLM simulator.")
    add = parser.add_argument
    add("model_tag", nargs="?", metavar="MODEL", help="the model to pretend to serve")
    if fleet:
        add("--size", type=int, default=10, help="how many simulators")
        add("--base-port", type=int, default=18000, help="port of the first")
    add("--model")
    add("--config", help="YAML file with the same options")
    add("--host", default="0.0.0.0")
    add("--port", type=int, default=8000)
    add("--served-model-name", nargs="+", default=[])
    add("--api-key", nargs="+", default=[])
    add("--lora-modules", nargs="+", default=[], metavar="MODULE", help="name=path or JSON")
    add("--enable-lora", action=argparse.BooleanOptionalAction, default=False)
    add("--max-loras", type=int, default=None)
    add("--max-cpu-loras", type=int, default=None)
    add("--max-model-len", type=values.max_model_len, default=None)
    add("--max-num-seqs", type=int, default=None)
    add("--max-num-batched-tokens", type=values.count, default=None)
    add("--block-size", type=int, default=None)
    add("--num-gpu-blocks", "--num-gpu-blocks-override", dest="num_gpu_blocks", type=int, default=None)
    add("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    add("--enable-chunked-prefill", action=argparse.BooleanOptionalAction, default=True)
    add("--enable-prompt-tokens-details", action=argparse.BooleanOptionalAction, default=False)
    add("--enable-force-include-usage", action=argparse.BooleanOptionalAction, default=False)
    add("--max-num-queued-reqs", type=int, default=None)
    add("--data-parallel-size", "-dp", type=int, default=1)
    add("--kv-events-config", default=None, help="JSON, as vLLM's")
    add("--seed", type=int, default=0)
    add("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    add("--profile", default="instant", help=f"latency profile: {', '.join(profiles.names())}, or a YAML file")
    add("--mode", default="random", choices=("random", "echo"))
    add("--tokenizer-file", default=None, help="tokenizer.json, read with the package tokenizers")
    add("--pod-name", default=None)
    add("--enable-admin", action="store_true", help="serve /admin/faults")
    add("--enable-fault-headers", action="store_true", help="obey the header x-model-sim-fault")
    add("--faults", default="", help="JSON, as POST /admin/faults takes it")
    add("--shutdown-timeout", type=float, default=30.0, help="seconds to finish requests after SIGTERM")
    add("--version", action="version", version="model-sim 0.1.0")
    _add_ignored(parser)
    return parser


def _add_ignored(parser: argparse.ArgumentParser) -> None:
    """vLLM's options without effect, each with as many words as vLLM takes."""
    shorts = {name: short for short, name in vllm_options.SHORT.items()}
    arities: tuple[tuple[frozenset[str], dict[str, Any]], ...] = (
        (vllm_options.FLAGS, {"action": argparse.BooleanOptionalAction}),
        (vllm_options.VALUES, {}),
        (vllm_options.LISTS, {"nargs": "+"}),
        (vllm_options.OPTIONAL_VALUES, {"nargs": "?"}),
    )
    for names, arity in arities:
        for name in sorted(names):
            forms = [f"--{name}", shorts[name]] if name in shorts else [f"--{name}"]
            parser.add_argument(*forms, **arity, dest=f"ignored_{name}", help=argparse.SUPPRESS)


def strings(parser: argparse.ArgumentParser) -> frozenset[str]:
    """Every spelling of every option."""
    return frozenset(option for action in parser._actions for option in action.option_strings)  # noqa: SLF001
