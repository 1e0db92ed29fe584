"""Scrapes and lists of models as JSON, and back: checked by type, since another version wrote them. Pure."""

from typing import Final

import orjson

from epp.domain import EngineMetrics, ScrapeFault, ServedModel
from epp.sharing.fields import MalformedError

_NAMES: Final = ("active_adapters", "waiting_adapters")
_COUNTS: Final = ("waiting", "running", "max_adapters", "block_size", "block_count")
_REALS: Final = ("kv_usage", "computed_tokens", "started_at")
_FAULT: Final = "fault"
# As of a scrape that is read here.
_NAMES_LIMIT: Final = 10_000
_MODELS_LIMIT: Final = 1000


def write(found: EngineMetrics | ScrapeFault) -> bytes:
    """An object of what is known."""
    if isinstance(found, ScrapeFault):
        return orjson.dumps({_FAULT: found.value})
    fields: dict[str, object] = {name: sorted(names) for name in _NAMES if (names := getattr(found, name))}
    fields |= {name: value for name in (*_COUNTS, *_REALS) if (value := getattr(found, name)) is not None}
    return orjson.dumps(fields)


def read(payload: bytes) -> EngineMetrics | ScrapeFault:
    """Fields that this version does not know are left out; raises MalformedError."""
    fields = orjson.loads(payload)
    if not isinstance(fields, dict):
        raise MalformedError("not a scrape")
    if _FAULT in fields:
        try:
            return ScrapeFault(fields[_FAULT])
        except ValueError:
            return ScrapeFault.STATUS  # one of a later release
    names = {name: _names(fields.get(name, [])) for name in _NAMES}
    counts = {name: _count(fields[name]) for name in _COUNTS if name in fields}
    reals = {name: _real(fields[name]) for name in _REALS if name in fields}
    return EngineMetrics(**names, **counts, **reals)  # type: ignore[arg-type]


def write_models(models: tuple[ServedModel, ...]) -> bytes:
    """Their items."""
    return orjson.dumps([dict(model.item) for model in models])


def read_models(payload: bytes) -> tuple[ServedModel, ...]:
    """The items of a list; raises MalformedError."""
    items = orjson.loads(payload)
    if not isinstance(items, list) or len(items) > _MODELS_LIMIT:
        raise MalformedError("not a list of models")
    if not all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in items):
        raise MalformedError("not a model")
    return tuple(ServedModel(item["id"], item) for item in items)


def _names(value: object) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > _NAMES_LIMIT or not all(isinstance(each, str) for each in value):
        raise MalformedError("not names")
    return frozenset(value)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedError("not a count")
    return value


def _real(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise MalformedError("not a number")
    return float(value)
