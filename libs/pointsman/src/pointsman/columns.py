"""Rows of text as lines whose columns stand under each other. Pure."""

from collections.abc import Container, Sequence
from typing import Final

_GAP: Final = "  "


def aligned(rows: Sequence[Sequence[str]], to_right: Container[int]) -> list[str]:
    """A line for each row, all of which have as many cells; the columns `to_right` end at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths, to_right) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], to_right: Container[int]) -> str:
    cells = [
        cell.rjust(width) if column in to_right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return _GAP.join(cells).rstrip()
