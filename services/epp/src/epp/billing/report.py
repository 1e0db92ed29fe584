"""The bill as a table, CSV or JSON, with prices where there are any. Pure."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from epp.billing.totals import Totals

FIELDS: Final = ("requests", "estimated", "prompt", "cached", "completion", "reasoning", "gpu_seconds")
MILLION: Final = 1e6
HOUR: Final = 3600.0
# What a price is for: a million tokens of a kind, or an hour of a GPU.
PRICED: Final = ("input", "cached", "output", "gpu_hour")

Row = Mapping[str, str | int | float]
Prices = Mapping[str, Mapping[str, float]]  # by model, `*` for every other one


class Output(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class PriceError(ValueError):
    """The prices cannot be read."""


def rows(found: Mapping[tuple[str, ...], Totals], by: Sequence[str]) -> list[Row]:
    """One row for each group."""
    return [{**dict(zip(by, key, strict=True)), **_figures(totals)} for key, totals in found.items()]


def prices_of(text: str) -> Prices:
    """Prices by model from JSON: `{"MODEL": {"input": 0.5, "cached": 0.1, "output": 2, "gpu_hour": 0}, "*": …}`.

    Raises PriceError.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise PriceError(f"not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise PriceError("expected an object of models")
    for model, each in found.items():
        if not isinstance(each, dict) or not each.keys() <= set(PRICED):
            raise PriceError(f"{model}: expected an object with {', '.join(PRICED)}")
        wrong = next((kind for kind, price in each.items() if type(price) not in (int, float) or price < 0), None)
        if wrong is not None:
            raise PriceError(f"{model}.{wrong}: expected a price, 0 or more")
    return found


def priced(given: Sequence[Row], by: Sequence[str], prices: Prices) -> list[Row]:
    """The rows, which are by model and more, by these fields alone and with what they cost."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for row in given:
        sums = found.setdefault(tuple(str(row[field]) for field in by), dict.fromkeys((*FIELDS, "cost"), 0))
        for field in FIELDS:
            sums[field] += float(row[field]) if field == "gpu_seconds" else int(row[field])
        sums["cost"] += _cost(row, prices.get(str(row["model"]), prices.get("*", {})))
    return [
        {
            **dict(zip(by, key, strict=True)),
            **sums,
            "gpu_seconds": round(sums["gpu_seconds"], 3),
            "cost": round(sums["cost"], 4),
        }
        for key, sums in found.items()
    ]


def shown(given: Sequence[Row], by: Sequence[str], output: Output) -> str:
    """The text for people or programs."""
    if output is Output.JSON:
        return json.dumps(given, indent=2)
    names = [*by, *(name for name in (*FIELDS, "cost") if not given or name in given[0])]
    lines = [names, *([str(row.get(name, "")) for name in names] for row in given)]
    if output is Output.CSV:
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(lines)
        return written.getvalue().rstrip("\n")
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    texts = len(by)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _figures(totals: Totals) -> Mapping[str, int | float]:
    found: dict[str, int | float] = {**totals._asdict()}
    del found["gpu_microseconds"]
    return {**found, "gpu_seconds": round(totals.gpu_microseconds / MILLION, 3)}


def _cost(row: Row, prices: Mapping[str, float]) -> float:
    cached = float(row["cached"])
    counted = {"input": float(row["prompt"]) - cached, "cached": cached, "output": float(row["completion"])}
    per_input = prices.get("input", 0.0)
    each = {"input": per_input, "cached": prices.get("cached", per_input), "output": prices.get("output", 0.0)}
    tokens = sum(counted[kind] * price for kind, price in each.items()) / MILLION
    return tokens + float(row["gpu_seconds"]) / HOUR * prices.get("gpu_hour", 0.0)
