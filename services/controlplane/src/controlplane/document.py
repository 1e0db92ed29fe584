"""What /status shows, as JSON. Pure."""

from collections.abc import Mapping

import orjson

from controlplane.plane import View
from controlplane.status import report
from gateway.schema.problems import Problem

Tree = dict[str, object]


def tree(view: View) -> Tree:
    """The content of /status."""
    return {
        "published": view.published,
        "envoys": report.proxies(view.uptakes.values()),
        "faults": list(view.faults),
        "problems": [_problem(problem) for problem in view.problems],
        "notes": [_problem(note) for note in view.notes],
        **report.tree(view.status),
    }


def document(found: Mapping[str, object]) -> str:
    """It as text."""
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _problem(problem: Problem) -> Tree:
    place = problem.place
    return {
        "file": place.source,
        "line": place.line,
        "column": place.column,
        "field": problem.field,
        "message": problem.explanation,
    }
