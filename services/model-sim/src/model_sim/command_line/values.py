"""Values of options: text to numbers, adapters, faults and the settings of KV events. Pure.

Each function raises UsageError with one line that names the option, or argparse's own error, which names it too.
"""

import argparse
from decimal import Decimal

import orjson

from model_sim.api import fields
from model_sim.api.errors import ApiError
from model_sim.replica.faults import Faults, merged
from model_sim.replica.settings import KvEventsConfig, LoraModule


class UsageError(ValueError):
    """A command line that cannot be used: one line that names the option."""


def count(text: str) -> int:
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


def max_model_len(text: str) -> int | None:
    """A number, or `auto` or -1: what the profile says."""
    if text in ("auto", "-1"):
        return None
    value = count(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text!r}")
    return value


def lora_modules(text: str) -> list[LoraModule]:
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


def faults(text: str) -> str:
    if text:
        try:
            merged(Faults(), fields.parse_object(text.encode()))
        except ApiError as error:
            raise UsageError(f"argument --faults: {error.message}") from error
    return text


def kv_events(text: str | None) -> KvEventsConfig | None:
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
