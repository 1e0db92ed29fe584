"""No file and no class outgrows what one reads in one go."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

FILE_LINES = 400
CLASS_LINES = 250


def sources() -> Iterator[Path]:
    """Everything that is written by hand."""
    for folder in ("libs", "services", "tests"):
        yield from (path for path in (ROOT / folder).rglob("*.py") if "build" not in path.parts)


def test_no_file_is_longer_than_its_bound() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in sources()}

    assert len(lengths) > 500
    assert {path: length for path, length in lengths.items() if length > FILE_LINES} == {}


def test_no_class_is_longer_than_its_bound() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources()
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ClassDef)
    }

    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > CLASS_LINES} == {}
