"""What /status shows, as JSON. Pure."""

import orjson

from controlplane.plane import View
from controlplane.status import report
from gateway.schema.problems import Problem


def document(view: View) -> bytes:
    """The JSON of /status."""
    body = {
        "published": view.published,
        "envoys": report.proxies(view.uptake),
        "faults": list(view.faults),
        "problems": [_problem(problem) for problem in view.problems],
        "notes": [_problem(note) for note in view.notes],
        **report.tree(view.status),
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _problem(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {"file": place.source, "line": place.line, "field": problem.field, "message": problem.explanation}
