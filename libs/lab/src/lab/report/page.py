"""The answer as one HTML page: sentences, curves, a table. No script, nothing from elsewhere, light and dark. Pure."""

from html import escape
from importlib import resources
from math import log10
from typing import Final

from lab.report.chart import COLOURS, Chart, Curve, svg_of
from lab.report.report import Report, cell, signed, verdict_of
from lab.study.answer import FIGURES, Figure

_DRAWN: Final = ("ttft_p50", "ttft_p90", "ttft_p99", "hit_ratio", "good_share", "imbalance")
_LOG: Final = frozenset(("ttft_p50", "ttft_p90", "ttft_p99"))
_MOST: Final = {"good_share": 100.0, "hit_ratio": 1.0}
_LIGHT: Final = ("#1f6fb4", "#d9730d", "#2a8f4f", "#8a4fbe", "#b03a48", "#6b6b6b", "#00838f", "#a07800")
_DARK: Final = ("#6db3f2", "#f0a050", "#6fcf8e", "#c39bea", "#ee8290", "#b0b0b0", "#5fd0dc", "#e0bd4e")


def page_of(report: Report) -> str:
    """The whole page."""
    sentences = "".join(f"<li>{escape(each)}</li>" for each in report.sentences())
    notes = "".join(f'<p class="soft">{escape(each)}</p>' for each in (*report.notes, report.setting()))
    charts = "".join(svg_of(_chart(report, figure)) for figure in FIGURES if figure.name in _DRAWN)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(report.title)}: the lab's report</title><style>{_style()}</style></head><body>"
        f"<h1>{escape(report.title)}</h1>{notes}<h2>What it comes to</h2><ul>{sentences}</ul>"
        f'<h2>Curves</h2><p class="key">{_key(report)}</p><div class="charts">{charts}</div>'
        f'<h2>All figures</h2><div class="scroll">{_table(report)}</div>'
        '<p class="soft">Figures are means with 95 % confidence intervals over the seeds. A difference is against the'
        " first configuration, seed by seed; noise is one whose interval holds zero. Engines are simulated: figures"
        " compare configurations and promise nothing about hardware.</p></body></html>\n"
    )


def _style() -> str:
    light, dark = (
        " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours)) for colours in (_LIGHT, _DARK)
    )
    classes = "".join(
        f"polyline.c{number} {{ stroke: var(--c{number}); }} circle.c{number}, .band.c{number} "
        f"{{ fill: var(--c{number}); }} .key .c{number} {{ background: var(--c{number}); }}\n"
        for number in range(COLOURS)
    )
    style = resources.files("lab.report").joinpath("page.css").read_text(encoding="utf-8")
    return style.replace("LIGHT", light).replace("DARK", dark) + classes


def _key(report: Report) -> str:
    return "".join(
        f'<span><i class="c{number % COLOURS}"></i>{escape(each.name)}</span>'
        for number, each in enumerate(report.study.contenders)
    )


def _chart(report: Report, figure: Figure) -> Chart:
    points = report.study.points
    names = [point.servers if report.is_by_servers else point.rate for point in points]
    xs = [float(name) if report.is_by_servers else log10(name) for name in names]
    curves = []
    for contender in report.study.contenders:
        found = [row.figures[figure.name] for row in report.rows if row.contender == contender.name]
        means = [each.mean * figure.factor for each in found]
        halves = [None if each.half is None else each.half * figure.factor for each in found]
        curves.append(Curve(contender.name, xs, means, halves))
    x_title = "servers" if report.is_by_servers else "of its own rate" if report.is_relative else "requests/s"
    mark = "x" if report.is_relative and not report.is_by_servers else ""
    ticks = [(x, f"{name:g}{mark}") for x, name in zip(xs, names, strict=True)]
    title = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
    return Chart(title, x_title, curves, ticks, figure.name in _LOG, _MOST.get(figure.name))


def _table(report: Report) -> str:
    heads = "".join(f"<th>{escape(f'{figure.title} {figure.unit}'.strip())}</th>" for figure in FIGURES)
    lines = []
    for row in report.rows:
        point = escape(report.name_of(report.study.points[row.point]))
        cells = []
        for figure in FIGURES:
            verdict = verdict_of(row, figure)
            title = f' title="{signed(row.differences[figure.name])}: {verdict}"' if verdict else ""
            cells.append(f'<td class="{verdict}"{title}>{cell(row.figures[figure.name], figure)}</td>')
        lines.append(f"<tr><td>{point}</td><td>{escape(row.contender)}</td>{''.join(cells)}</tr>")
    return f"<table><tr><th></th><th></th>{heads}</tr>{''.join(lines)}</table>"
