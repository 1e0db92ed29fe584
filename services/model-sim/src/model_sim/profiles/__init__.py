"""Named latency profiles: YAML files beside this module, or any file of the same form.

A profile says what hardware and model it stands for, how its numbers were come by, and which published figures it
is checked against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from model_sim.engine.profile import LatencyProfile

ENGINE_KEYS = ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks", "block_size", "max_model_len")
MIN_PUBLISHED_FIGURES = 2
"""A profile checked against fewer published figures is called unvalidated."""


class ProfileError(ValueError):
    """A profile that does not exist or cannot be read."""


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A measurement someone published, and what was run to get it."""

    quantity: str
    value: float
    prompt_tokens: int
    output_tokens: int
    concurrency: int
    source: str
    date: str
    hardware: str
    version: str
    requests: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A latency profile with its sizes and its evidence."""

    name: str
    description: str
    latency: LatencyProfile
    engine: Mapping[str, int]
    published: tuple[PublishedFigure, ...]

    @property
    def is_validated(self) -> bool:
        return len(self.published) >= MIN_PUBLISHED_FIGURES


def names() -> tuple[str, ...]:
    """The built-in profiles."""
    folder = resources.files("model_sim.profiles")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(name: str) -> Profile:
    """A built-in profile by name, or one from a file whose path ends in .yaml."""
    if name.endswith((".yaml", ".yml")):
        try:
            return parse(Path(name).read_text(encoding="utf-8"), name)
        except OSError as error:
            raise ProfileError(f"{name}: {error.strerror}") from error
    if name not in names():
        raise ProfileError(f"unknown profile {name!r}; known: {', '.join(names())}")
    return parse(resources.files("model_sim.profiles").joinpath(f"{name}.yaml").read_text(encoding="utf-8"), name)


def parse(text: str, place: str) -> Profile:
    """Read one YAML document; every number is checked and every unknown key is an error."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProfileError(f"{place}: {error}") from error
    document = _mapping(raw, place)
    known = {"name", "description", "engine", "step", "adapters", "transfer", "published", "values", "source"}
    for key in document:
        if key not in known:
            raise ProfileError(f"{place}: unknown key {key!r}")
    step = _numbers(document, "step", place)
    adapters = _numbers(document, "adapters", place)
    transfer = _numbers(document, "transfer", place)
    values: dict[str, Any] = {
        **step,
        **{f"adapter_{key}": value for key, value in adapters.items()},
        **{key if key.startswith("kv_") else f"transfer_{key}": value for key, value in transfer.items()},
    }
    allowed = {field.name for field in fields(LatencyProfile)}
    for key in values:
        if key not in allowed:
            raise ProfileError(f"{place}: unknown value {key!r}")
    engine = _numbers(document, "engine", place)
    for key in engine:
        if key not in ENGINE_KEYS:
            raise ProfileError(f"{place}: engine.{key}: unknown key")
    return Profile(
        name=str(document.get("name", place)),
        description=str(document.get("description", "")),
        latency=LatencyProfile(**values),
        engine={key: int(value) for key, value in engine.items()},
        published=tuple(_figure(entry, place) for entry in document.get("published") or ()),
    )


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ProfileError(f"{place}: expected a mapping, got {value!r}")
    return value


def _numbers(document: Mapping[str, Any], key: str, place: str) -> dict[str, float]:
    section = _mapping(document.get(key) or {}, f"{place}: {key}")
    for name, value in section.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ProfileError(f"{place}: {key}.{name}: expected a number, not negative, got {value!r}")
    return dict(section)


def _figure(entry: object, place: str) -> PublishedFigure:
    raw = _mapping(entry, f"{place}: published")
    try:
        return PublishedFigure(
            quantity=str(raw["quantity"]),
            value=float(raw["value"]),
            prompt_tokens=int(raw["prompt_tokens"]),
            output_tokens=int(raw["output_tokens"]),
            concurrency=int(raw["concurrency"]),
            requests=int(raw.get("requests", raw["concurrency"])),
            source=str(raw["source"]),
            date=str(raw["date"]),
            hardware=str(raw["hardware"]),
            version=str(raw["version"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"{place}: published: {error}") from error
