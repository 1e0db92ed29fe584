"""The answer as text. Pure."""

from lab.report.report import Report, cell, verdict_of
from lab.study.answer import FIGURES

_SHOWN = ("ttft_p50", "ttft_p90", "ttft_p99", "hit_ratio", "good_share", "goodput", "imbalance")


def text_of(report: Report) -> str:
    """Notes, one table, and what it comes to."""
    figures = [figure for figure in FIGURES if figure.name in _SHOWN]
    heads = ["", "", *(f"{figure.title} {figure.unit}".strip() for figure in figures), "against the first, p90"]
    p90 = next(figure for figure in FIGURES if figure.name == "ttft_p90")
    table = [heads]
    for row in report.rows:
        point = report.name_of(report.study.points[row.point]) if row.contender == report.rows[0].contender else ""
        cells = [cell(row.figures[figure.name], figure) for figure in figures]
        table.append([point, row.contender, *cells, verdict_of(row, p90)])
    widths = [max(len(line[at]) for line in table) for at in range(len(heads))]
    lines = [_line(line, widths) for line in table]
    return "\n".join([report.title, *report.notes, report.setting(), "", *lines, "", *report.sentences(), ""])


def _line(cells: list[str], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right]).rstrip()
