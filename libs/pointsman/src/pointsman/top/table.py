"""What `top` shows: the picker's /debug/pools and /debug/queues as lines of text. Pure.

Colours are a terminal's own, so that it keeps its theme.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pointsman.columns import aligned

Tree = Mapping[str, Any]

_HEAD: Final = ("ENDPOINT", "STANDING", "QUEUE", "RUNNING", "KV", "IN FLIGHT", "PREFIX BLOCKS", "AGE", "ADAPTERS")
_NUMBERS: Final = range(2, 8)  # columns that are set to the right
_GREEN, _YELLOW, _RED, _BOLD, _DIM, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Screen:
    """The size of a terminal, and whether it shows colours."""

    columns: int
    lines: int
    has_colours: bool


def table(pools: Sequence[Tree], queues: Sequence[Tree], screen: Screen) -> list[str]:
    """Lines that fit the screen; what does not is counted in the last one."""
    waiting = {queue["pool"]: queue["waiting"]["requests"] for queue in queues if queue.get("waiting")}
    lines: list[str] = []
    for pool in pools:
        lines += _pool(pool, waiting.get(pool["pool"], 0), screen)
    if not pools:
        lines = ["no pool is known"]
    if len(lines) > screen.lines:
        hidden = len(lines) - screen.lines + 1
        lines = [*lines[: screen.lines - 1], _painted(f"… {hidden} more lines", _DIM, screen)]
    return lines


def _pool(pool: Tree, waiting: int, screen: Screen) -> list[str]:
    endpoints = pool["endpoints"]
    good = sum(each["standing"] == "good" for each in endpoints)
    words = f"{pool['pool']}: {good} of {len(endpoints)} endpoints in good standing"
    words += f", {sum(each['in_flight'] or 0 for each in endpoints)} requests in flight"
    words += f", {waiting} waiting" if waiting else ""
    lines = [words, *aligned([_HEAD, *map(_row, endpoints)], _NUMBERS)]
    colours = [_BOLD, _DIM, *map(_colour, endpoints)]
    painted = (_painted(line[: screen.columns], colour, screen) for line, colour in zip(lines, colours, strict=True))
    return [*painted, ""]


def _row(endpoint: Tree) -> Sequence[str]:
    estimate, metrics = endpoint["estimate"], endpoint["metrics"]
    others = endpoint["others_in_flight"]
    simulated = " (simulated)" if endpoint.get("simulated") else ""  # an older picker does not say
    return (
        f"{endpoint['name'] or endpoint['endpoint']}{simulated}",
        endpoint["standing"] if endpoint["share"] == 1 else f"{endpoint['standing']} {endpoint['share']:.0%}",
        f"{estimate['waiting']:.0f}",
        f"{estimate['running']:.0f}",
        f"{estimate['kv_usage']:.0%}",
        f"{endpoint['in_flight'] or 0}{f' + {others}' if others else ''}",
        str(endpoint["index_blocks"]),
        "never" if endpoint["metrics_age"] is None else f"{endpoint['metrics_age']:.1f} s",
        ", ".join(metrics["active_adapters"]) if metrics else "",
    )


def _colour(endpoint: Tree) -> str:
    if endpoint["standing"] == "good":
        return _GREEN
    return _YELLOW if endpoint["share"] > 0 else _RED


def _painted(text: str, colour: str, screen: Screen) -> str:
    return f"{colour}{text}{_PLAIN}" if screen.has_colours else text
