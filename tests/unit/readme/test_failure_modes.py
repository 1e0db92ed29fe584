"""Each row of the page on failures names tests that exist, and each named row is one of the page's."""

import re
from pathlib import Path

import pytest

PAGE = "docs/failure-modes.md"
HEADING = "## Which test shows what"
MATRIX = "\n## The matrix"  # a test of its own reads it
_NAMED = re.compile(r"`([\w/.]*)::(test_\w+)`")


def rows(text: str) -> dict[str, str]:
    """Of a table: what stands beside each first cell."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("| ")]
    cells = [line.partition(" | ") for line in lines]
    return {first.strip(): rest for first, _, rest in cells if first.strip() != "what fails"}


@pytest.fixture(scope="module")
def tables(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What happens, and which test shows it."""
    happens, found, shown = (root / PAGE).read_text().partition(MATRIX)[0].partition(HEADING)
    assert found
    return rows(happens), rows(shown)


def test_each_row_is_shown_by_a_test(tables: tuple[dict[str, str], dict[str, str]]) -> None:
    happens, shown = tables

    assert sorted(happens) == sorted(shown)


def test_each_test_that_is_named_exists(root: Path, tables: tuple[dict[str, str], dict[str, str]]) -> None:
    for row, named in tables[1].items():
        tests = _NAMED.findall(named)
        file = ""
        assert tests, row
        for written, name in tests:
            file = written or file
            text = (root / "tests" / file).read_text()
            assert f"def {name}(" in text, f"{row}: {file}::{name}"
