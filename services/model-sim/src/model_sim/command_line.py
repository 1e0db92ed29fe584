"""The command line: `model-sim serve MODEL …` as `vllm serve`, and the older bare `--model MODEL …`.

Options that matter act, those of vLLM that do not are accepted, any other is refused with the nearest match.
`--config FILE` holds the same options as YAML; the command line goes before it. Pure but for that file.
"""

import argparse
import difflib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import orjson
import yaml

from model_sim import profiles, vllm_options
from model_sim.api import fields
from model_sim.api.errors import ApiError
from model_sim.engine.profile import EngineConfig
from model_sim.faults import Faults, merged
from model_sim.settings import KvEventsConfig, LoraModule, Settings

MAX_DATA_PARALLEL_SIZE = 64
DEFAULT_MAX_MODEL_LEN = 131072


class UsageError(ValueError):
    """A command line that cannot be used: one line that names the option."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`model-sim fleet`: that many simulators on consecutive ports."""

    size: int
    base_port: int
    settings: Settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings | Fleet:
    """Settings from a command line; UsageError says what is wrong with it."""
    words = list(arguments)
    fleet = bool(words) and words[0] == "fleet"
    if words and words[0] in ("serve", "fleet"):
        words = words[1:]
    parser = _parser(fleet=fleet)
    words = [_canonical(word) for word in words]
    words = _with_config(parser, words)
    options, rest = parser.parse_known_args(words)
    _refuse_unknown(parser, rest)
    settings = _settings(options, environment)
    if not fleet:
        return settings
    if not 1 <= options.size <= 1000:
        raise UsageError(f"argument --size: expected 1 to 1000, got {options.size}")
    return Fleet(options.size, options.base_port, settings)


def _canonical(word: str) -> str:
    """`--max_num_seqs` is `--max-num-seqs`; `--a.b=c` sets a key inside the JSON value of `--a`, as does `-a.b=c`."""
    name, equals, value = word.partition("=")
    if name.partition(".")[0] in vllm_options.SHORT:
        return name.partition(".")[0] + equals + value
    if not word.startswith("--"):
        return word
    name = name.partition(".")[0].replace("_", "-")
    return name + equals + value


def _parser(*, fleet: bool) -> argparse.ArgumentParser:
    parser = _Parser(prog="model-sim", description="A vLLM simulator.", allow_abbrev=False)
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
    add("--max-model-len", type=_max_model_len, default=None)
    add("--max-num-seqs", type=int, default=None)
    add("--max-num-batched-tokens", type=_count, default=None)
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


def _refuse_unknown(parser: argparse.ArgumentParser, rest: Sequence[str]) -> None:
    for word in rest:
        if word.startswith("-"):
            name = word.partition("=")[0]
            known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"unknown option {name}{hint}")
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}")


def _with_config(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Put the options of `--config` before those of the command line, which so win."""
    path = None
    for index, word in enumerate(words):
        if word == "--config" and index + 1 < len(words):
            path = words[index + 1]
        elif word.startswith("--config="):
            path = word.partition("=")[2]
    if path is None:
        return words
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"argument --config: {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"argument --config: {path}: {error}".splitlines()[0]) from error
    if not isinstance(document, dict):
        raise UsageError(f"argument --config: {path}: expected a mapping of options")
    model, options = _config_words(parser, document)
    if model is not None and not any(word == "--model" or word.startswith("--model=") for word in words):
        positional = bool(words) and not words[0].startswith("-")
        options = options if positional else ["--model", model, *options]
    leading = 1 if words and not words[0].startswith("-") else 0
    return [*words[:leading], *options, *words[leading:]]


def _config_words(parser: argparse.ArgumentParser, document: Mapping[Any, Any]) -> tuple[str | None, list[str]]:
    options: list[str] = []
    known = {option for action in parser._actions for option in action.option_strings}  # noqa: SLF001
    model = None
    for key, value in document.items():
        name = f"--{str(key).replace('_', '-')}"
        if name == "--model":
            model = str(value)
        elif isinstance(value, bool):
            negated = f"--no-{name[2:]}"
            if value or negated in known:
                options.append(name if value else negated)
        elif isinstance(value, list):
            options += [name, *(item if isinstance(item, str) else _json(item) for item in value)]
        elif value is not None:
            options += [name, _json(value) if isinstance(value, dict) else str(value)]
    return model, options


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


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
    modules = tuple(module for text in options.lora_modules for module in _lora_modules(text))
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
        faults=_faults(options.faults),
        tokenizer_file=options.tokenizer_file,
        kv_events=_kv_events(options.kv_events_config),
        shutdown_timeout=options.shutdown_timeout,
        log_level=options.log_level,
    )


def _keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    key = environment.get("VLLM_API_KEY")
    return (key,) if key else ()


def _engine(options: argparse.Namespace, profile: profiles.Profile) -> EngineConfig:
    values: dict[str, Any] = {key: value for key, value in profile.engine.items() if key != "max_model_len"}
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
            values[name] = given
    values.setdefault("max_loras", 1)
    values.setdefault("max_cpu_loras", values["max_loras"])
    values["enable_prefix_caching"] = options.enable_prefix_caching
    values["enable_chunked_prefill"] = options.enable_chunked_prefill
    if options.max_num_batched_tokens is None and values.get("max_num_seqs", 0) > values["max_num_batched_tokens"]:
        values["max_num_batched_tokens"] = values["max_num_seqs"]
    try:
        return EngineConfig(**values)
    except ValueError as error:
        raise UsageError(f"argument --{str(error).partition(':')[0].replace('_', '-')}: {error}") from error


def _count(text: str) -> int:
    """A number, or with vLLM's suffixes: 25.6k is 25,600 and 32K is 32,768."""
    decimal, binary = (
        {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12},
        {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40},
    )
    unit = text[-1:]
    try:
        if unit in decimal:
            return int(Decimal(text[:-1]) * decimal[unit])
        return int(text[:-1]) * binary[unit] if unit in binary else int(text)
    except (ValueError, ArithmeticError):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def _max_model_len(text: str) -> int | None:
    """A number, or `auto` or -1: what the profile says."""
    if text in ("auto", "-1"):
        return None
    value = _count(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text!r}")
    return value


def _lora_modules(text: str) -> list[LoraModule]:
    """`name=path`, `{"name": …, "path": …}`, `{"name": "path", …}`, or a list of either object."""
    if not text.lstrip().startswith(("{", "[")):
        name, equals, path = text.partition("=")
        if not name or not equals:
            raise UsageError(f"argument --lora-modules: expected name=path or JSON, got {text!r}")
        return [LoraModule(name, path)]
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"argument --lora-modules: {error} in {text!r}") from error
    entries = document if isinstance(document, list) else [document]
    return [module for entry in entries for module in _lora_object(entry, text)]


def _lora_object(entry: object, text: str) -> list[LoraModule]:
    if isinstance(entry, dict) and "name" in entry:
        entry.pop("is_3d_lora_weight", None)  # how the weights are stored: no weights here
    if not isinstance(entry, dict) or not all(isinstance(v, str | None) for v in entry.values()):
        raise UsageError(f"argument --lora-modules: expected an object of strings, got {text!r}")
    if "name" in entry:
        unknown = entry.keys() - {"name", "path", "base_model_name"}
        if unknown or not entry["name"]:
            raise UsageError(f"argument --lora-modules: expected name, path, base_model_name, got {text!r}")
        return [LoraModule(entry["name"], entry.get("path") or "", entry.get("base_model_name"))]
    return [LoraModule(name, path or "") for name, path in entry.items()]


def _faults(text: str) -> str:
    if text:
        try:
            merged(Faults(), fields.parse_object(text.encode()))
        except ApiError as error:
            raise UsageError(f"argument --faults: {error.message}") from error
    return text


def _kv_events(text: str | None) -> KvEventsConfig | None:
    if text is None:
        return None
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"argument --kv-events-config: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"argument --kv-events-config: expected an object, got {text!r}")
    if not document.get("enable_kv_cache_events", True) or document.get("publisher", "zmq") == "null":
        return None
    default = KvEventsConfig()
    return KvEventsConfig(
        endpoint=str(document.get("endpoint", default.endpoint)),
        replay_endpoint=document.get("replay_endpoint"),
        topic=str(document.get("topic", default.topic)),
        buffer_steps=int(document.get("buffer_steps", default.buffer_steps)),
    )
