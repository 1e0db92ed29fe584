"""Reads the transition tables that docstrings show, so that tests can hold them to the data."""

import re
from collections.abc import Mapping
from enum import Enum

Names = set[tuple[str, str, str]]

_ROW = re.compile(r"^\s+(?P<title>[a-z]+ {2,})?(?P<state>[A-Z_]+) {2,}(?P<moves>[A-Z_]+ ▶ .*)$")


def documented(text: str | None) -> dict[str, Names]:
    """The tables of a docstring: title → (state, input, state)."""
    found: dict[str, Names] = {}
    title = ""
    for line in (text or "").splitlines():
        row = _ROW.match(line)
        if row is None:
            continue
        title = (row["title"] or title).strip()
        for move in row["moves"].split(", "):
            given, _, after = move.partition(" ▶ ")
            found.setdefault(title, set()).add((row["state"], given, after))
    return found


def named(table: Mapping[Enum, Mapping[Enum, Enum]]) -> Names:
    """A table as names."""
    return {(state.name, given.name, after.name) for state, row in table.items() for given, after in row.items()}
