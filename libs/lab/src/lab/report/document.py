"""The answer as a JSON document. Pure; same study, same bytes."""

from collections.abc import Mapping
from typing import Any

from lab.report.report import Report
from lab.study.answer import Row, plain
from lab.study.statistics import Difference, Interval


def document_of(report: Report) -> dict[str, Any]:
    """All figures; what is not finite is null. Times are seconds."""
    study = report.study
    return {
        "source": report.title,
        "notes": [*report.notes],
        "profile": study.profile.name,
        "seeds": [*study.seeds],
        "limits": {"first_token": study.limits.ttft, "gap": study.limits.itl},
        "rates": "times the trace's own" if report.is_relative else "requests a second",
        "rows": [_row(report, row) for row in report.rows],
        "sentences": report.sentences(),
    }


def _row(report: Report, row: Row) -> Mapping[str, Any]:
    point = report.study.points[row.point]
    return {
        "config": row.contender,
        "rate": point.rate,
        "servers": point.servers,
        "figures": {name: _interval(found) for name, found in row.figures.items()},
        "against_first": {name: _difference(found) for name, found in row.differences.items()},
    }


def _interval(found: Interval) -> Mapping[str, float | None]:
    return {"mean": plain(found.mean), "half_95": plain(found.half)}


def _difference(found: Difference) -> Mapping[str, Any]:
    share = found.share and _interval(found.share)
    return {"share": share, "verdict": str(found.verdict)}
