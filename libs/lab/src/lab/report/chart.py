"""Curves as SVG, drawn by hand: no library, no script, works offline. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 28, 36
COLOURS = 8
"""Classes `c0` to `c7` of the page's style."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One contender's: places on the x axis, means, and half intervals; a mean that is not finite is a gap."""

    name: str
    xs: Sequence[float]
    means: Sequence[float]
    halves: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure by load."""

    title: str
    x_title: str
    curves: Sequence[Curve]
    ticks: Sequence[tuple[float, str]]
    is_log: bool = False
    most: float | None = None  # of the y axis, where figures end


def svg_of(chart: Chart) -> str:
    """Axes, a band for each interval, a line and dots for each curve; dots tell their values to a pointer."""
    scale = _Scale(chart)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        f'<text class="title" x="{LEFT}" y="16">{escape(chart.title)}</text>',
        *_axes(chart, scale),
    ]
    for number, curve in enumerate(chart.curves):
        parts += _curve(curve, scale, f"c{number % COLOURS}")
    return "\n".join([*parts, "</svg>"])


class _Scale:
    """From figures to places."""

    def __init__(self, chart: Chart) -> None:
        shown = [
            (mean, half or 0.0)
            for curve in chart.curves
            for mean, half in zip(curve.means, curve.halves, strict=True)
            if isfinite(mean)
        ]
        highs = [mean + half for mean, half in shown] or [1.0]
        lows = [mean for mean, _ in shown if mean > 0]
        self.is_log = chart.is_log and bool(lows)
        self._step = _step(max(highs))
        self.high = 10 ** ceil(log10(max(highs))) if self.is_log else self._step * max(1, ceil(max(highs) / self._step))
        if chart.most is not None:
            self.high = min(self.high, chart.most)
        self.low = 10 ** floor(log10(min(lows))) if self.is_log else 0.0
        if self.is_log and self.low >= self.high:
            self.high = self.low * 10
        xs = [x for curve in chart.curves for x in curve.xs]
        self._least, self._most = min(xs), max(xs)

    def x(self, value: float) -> float:
        """Across."""
        if self._most == self._least:
            return (LEFT + WIDTH - RIGHT) / 2
        return LEFT + (value - self._least) / (self._most - self._least) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Down."""
        if self.is_log:
            clipped = max(value, self.low)
            share = log10(clipped / self.low) / log10(self.high / self.low)
        else:
            share = max(0.0, value) / self.high
        return HEIGHT - BOTTOM - min(1.0, share) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Of the y axis."""
        if self.is_log:
            return [10**power for power in range(floor(log10(self.low)), ceil(log10(self.high)) + 1)]
        return [self._step * count for count in range(round(self.high / self._step) + 1)]


def _step(most: float) -> float:
    """Between ticks: 1, 2 or 5 times a power of ten, so that there are three to six of them."""
    power = 10.0 ** floor(log10(most or 1.0))
    share = (most or 1.0) / power
    return power * (0.2 if share <= 1 else 0.5 if share <= 2 else 1.0 if share <= 5 else 2.0)


def _axes(chart: Chart, scale: _Scale) -> list[str]:
    parts = []
    for value in scale.ticks():
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value, name in chart.ticks:
        x = f"{scale.x(value):.1f}"
        parts.append(f'<text class="tick" x="{x}" y="{HEIGHT - 20}" text-anchor="middle">{escape(name)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(chart.x_title)}</text>'
    )
    return parts


def _curve(curve: Curve, scale: _Scale, colour: str) -> list[str]:
    known = [each for each in zip(curve.xs, curve.means, curve.halves, strict=True) if isfinite(each[1])]
    if not known:
        return []
    upper = [f"{scale.x(x):.1f},{scale.y(mean + (half or 0)):.1f}" for x, mean, half in known]
    lower = [f"{scale.x(x):.1f},{scale.y(mean - (half or 0)):.1f}" for x, mean, half in reversed(known)]
    line = " ".join(f"{scale.x(x):.1f},{scale.y(mean):.1f}" for x, mean, _ in known)
    dots = [
        f'<circle class="{colour}" cx="{scale.x(x):.1f}" cy="{scale.y(mean):.1f}" r="3">'
        f"<title>{escape(curve.name)}: {mean:.4g}{'' if half is None else f' ± {half:.2g}'}</title></circle>"
        for x, mean, half in known
    ]
    band = f'<polygon class="band {colour}" points="{" ".join([*upper, *lower])}"/>'
    return [band, f'<polyline class="{colour}" points="{line}"/>', *dots]
