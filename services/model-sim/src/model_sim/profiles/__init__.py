"""Named latency profiles: YAML files beside this module, or any file of the same form.

A profile says what hardware and model it stands for, how its numbers were come by, and which published figures it
is checked against. It is read strictly: a mistake is named with file, line and field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Final

from gateway.schema.fields import Fields, fields_of
from gateway.schema.problems import Findings
from gateway.schema.values import MAX_INTEGER
from gateway.schema.yamltext import one
from model_sim.engine.profile import LatencyProfile

ENGINE_KEYS = ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks", "block_size", "max_model_len")
MAX_FIGURES: Final = 1000  # of one profile; a hundred times what any has
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


def parse(text: str, source: str) -> Profile:
    """Read one YAML document; raises ProfileError with every mistake in it."""
    findings = Findings()
    document = one(text, source, findings)
    top = None if document is None else fields_of(document)
    profile = None if top is None else _profile(top, source)
    if profile is None or findings.problems:
        raise ProfileError("\n".join(str(problem) for problem in sorted(findings.problems)))
    return profile


# Fields of LatencyProfile by the section that they are written in; a section's prefix is left out there.
_LATENCY: Final = tuple(field.name for field in fields(LatencyProfile))
_SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "step": {name: name for name in _LATENCY if not name.startswith(("adapter_", "transfer_", "kv_"))},
    "adapters": {name.removeprefix("adapter_"): name for name in _LATENCY if name.startswith("adapter_")},
    "transfer": {name.removeprefix("transfer_"): name for name in _LATENCY if name.startswith(("transfer_", "kv_"))},
}


def _profile(top: Fields, source: str) -> Profile:
    latency: dict[str, Any] = {}
    for section, names in _SECTIONS.items():
        latency |= {names[key]: value for key, value in _numbers(top, section, names).items()}
    profile = Profile(
        name=top.text("name", source),
        description=top.text("description"),
        latency=LatencyProfile(**latency),
        engine={key: int(value) for key, value in _numbers(top, "engine", ENGINE_KEYS).items()},
        published=tuple(_figure(entry) for entry in top.children("published", MAX_FIGURES)),
    )
    top.known("values", "source")  # for people
    top.done()
    return profile


def _numbers(top: Fields, section: str, names: Iterable[str]) -> dict[str, float]:
    """The numbers of a section, none of them negative."""
    written = top.child(section)
    if written is None:
        return {}
    values = {name: written.value(name) for name in names}
    written.done()
    numbers = {name: value.number(low=0) for name, value in values.items() if value is not None}
    return {name: number for name, number in numbers.items() if number is not None}


def _figure(entry: Fields) -> PublishedFigure:
    def count(key: str, default: int | None = None) -> int:
        return entry.integer(key, 0, MAX_INTEGER, default, required=default is None) or 0

    value, concurrency = entry.value("value", required=True), count("concurrency")
    figure = PublishedFigure(
        quantity=entry.text("quantity", required=True),
        value=(value.number() if value is not None else None) or 0.0,
        prompt_tokens=count("prompt_tokens"),
        output_tokens=count("output_tokens"),
        concurrency=concurrency,
        requests=count("requests", concurrency),
        source=entry.text("source", required=True),
        date=entry.text("date", required=True),
        hardware=entry.text("hardware", required=True),
        version=entry.text("version", required=True),
    )
    entry.done()
    return figure
