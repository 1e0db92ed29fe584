"""The picture of the house in docs/architecture.md shows the imports that the code has.

An arrow means "imports"; what follows from two arrows in a row is not drawn. So the picture's arrows are the transitive
reduction of the imports between the packages that it shows.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import permutations

import grimp
import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DISTRIBUTIONS = ("gateway", "processes", "bbr", "controlplane", "epp", "model_sim", "lab")
STOREYED = ("gateway", "epp")  # drawn package by package; the others are one box each
UNDRAWN = {"epp.__main__", "epp.testing"}  # the command line, and what plugin authors test with

Arrows = Mapping[str, frozenset[str]]


def drawn() -> dict[str, set[str]]:
    """The arrows of the page's first flowchart, by the packages that its boxes name."""
    (chart, *_) = re.findall(r"```mermaid\nflowchart.*?```", PAGE, re.DOTALL)
    names = dict(re.findall(r'(\w+)\["?([\w.]+)', chart))
    arrows: dict[str, set[str]] = {}
    for sources, targets in re.findall(r"^\s*([\w &]+?) --> ([\w &]+?)$", chart, re.MULTILINE):
        for source in sources.split(" & "):
            arrows.setdefault(names[source], set()).update(names[target] for target in targets.split(" & "))
    return arrows


def imported() -> dict[str, set[str]]:
    """Who imports whom, by package."""
    graph = grimp.build_graph(*DISTRIBUTIONS)
    boxes = {child for name in STOREYED for child in graph.find_children(name)} - UNDRAWN
    boxes.update(name for name in DISTRIBUTIONS if name not in STOREYED)
    arrows: dict[str, set[str]] = {}
    for importer, target in permutations(sorted(boxes), 2):
        if graph.direct_import_exists(importer=importer, imported=target, as_packages=True):
            arrows.setdefault(importer, set()).add(target)
    return arrows


def reached(start: str, arrows: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that one can get to."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = set(arrows.get(waiting.pop(), ())) - found
        found |= fresh
        waiting.extend(fresh)
    return found


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others."""
    return {
        source: {
            target for target in targets if not any(target in reached(other, arrows) for other in targets - {target})
        }
        for source, targets in arrows.items()
    }


def test_the_imports_between_packages_have_no_cycle() -> None:
    arrows = imported()

    assert [name for name in arrows if name in reached(name, arrows)] == []


def test_the_arrows_of_the_picture_are_the_imports_of_the_code() -> None:
    assert drawn() == reduced(imported())


@pytest.mark.parametrize("name", ["Storeys of the shared library", "Storeys of the endpoint picker"])
def test_a_module_on_no_storey_fails_the_check(name: str) -> None:
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[[tool.importlinter.contracts]]")
    (found,) = [contract for contract in contracts if f'name = "{name}"' in contract]

    assert "exhaustive = true" in found
