"""What all forms of the answer have in common: what was asked, how a point is named, and the sentences. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from lab.study.answer import FIGURES, GOOD_SHARE, Figure, Row, carried
from lab.study.statistics import Difference, Interval, Verdict
from lab.study.study import Point, Study

SENTENCES = ("ttft_p90", "hit_ratio", "good_share")
"""The figures that are put into words."""
_WORDS = {Verdict.BETTER: "better", Verdict.WORSE: "worse", Verdict.EQUAL: "equal", Verdict.NOISE: "no more than noise"}


@dataclass(frozen=True, slots=True)
class Report:
    """A study with its answer. `notes` are about the source."""

    title: str
    notes: Sequence[str]
    study: Study
    rows: Sequence[Row]
    is_relative: bool

    @property
    def is_by_servers(self) -> bool:
        """Whether points differ by their servers, and not by their load."""
        return len({point.servers for point in self.study.points}) > 1

    def name_of(self, point: Point) -> str:
        """A point, for people."""
        if self.is_by_servers:
            return f"{point.servers} servers"
        return f"{point.rate:g}x" if self.is_relative else f"{point.rate:g}/s"

    def setting(self) -> str:
        """What was run, in one line."""
        study, (first, *_) = self.study, self.study.points
        fixed = self.name_of_load(first) if self.is_by_servers else f"{first.servers} servers"
        seeds = f"{len(study.seeds)} seeds from {study.seeds[0]}"
        limits = f"limits: first token {study.limits.ttft:g} s, gap {study.limits.itl:g} s"
        return f"{fixed}, profile {study.profile.name}, {seeds}, {limits}"

    def name_of_load(self, point: Point) -> str:
        """Its rate alone."""
        return f"{point.rate:g} times its own rate" if self.is_relative else f"{point.rate:g} requests/s"

    def sentences(self) -> list[str]:
        """What it comes to."""
        found = self._carried()
        baseline = self.study.contenders[0].name
        for contender in self.study.contenders[1:]:
            for figure in FIGURES:
                if figure.name in SENTENCES:
                    found.append(self._compared(contender.name, baseline, figure))
        if len(self.study.seeds) == 1:
            found.append("One seed tells nothing of luck: every difference may be noise. Use --seeds.")
        return found

    def _carried(self) -> list[str]:
        if len(self.study.points) == 1:
            return []
        share = f"{GOOD_SHARE:.0%} of requests within the limits"
        found = []
        for name, point in carried(self.study, self.rows).items():
            if point is None:
                found.append(f"{name}: {share} at none of these points.")
            elif self.is_by_servers:
                found.append(f"{name}: {share} from {self.study.points[point].servers} servers on.")
            else:
                found.append(f"{name}: {share} up to {self.name_of(self.study.points[point])}.")
        return found

    def _compared(self, name: str, baseline: str, figure: Figure) -> str:
        parts: dict[Verdict, list[str]] = {}
        for row in self.rows:
            if row.contender == name:
                difference = row.differences[figure.name]
                point = self.name_of(self.study.points[row.point])
                margin = "" if difference.verdict is Verdict.EQUAL else f" ({signed(difference)})"
                parts.setdefault(difference.verdict, []).append(f"{point}{margin}")
        words = "; ".join(f"{_WORDS[each]} at {', '.join(parts[each])}" for each in _WORDS if each in parts)
        return f"{figure.title} of {name} against {baseline}: {words}."


def cell(found: Interval, figure: Figure) -> str:
    """Mean ± half the width of the 95 % interval; a dash where requests were not served."""
    if not isfinite(found.mean):
        return "–"
    mean = f"{found.mean * figure.factor:.{figure.digits}f}"
    return mean if found.half is None else f"{mean} ± {found.half * figure.factor:.{figure.digits}f}"


def signed(difference: Difference) -> str:
    """−12 ± 3 %; a word where there is nothing to divide by."""
    share = difference.share
    if share is None:
        return "not comparable in per cent"
    mean = f"{100 * share.mean:+.1f}".replace("-", "−")
    return f"{mean} %" if share.half is None else f"{mean} ± {100 * share.half:.1f} %"


def verdict_of(row: Row, figure: Figure) -> str:
    """A mark behind a figure: whether it differs from the first contender's."""
    if not row.differences:
        return ""
    return {Verdict.BETTER: "better", Verdict.WORSE: "worse", Verdict.NOISE: "noise", Verdict.EQUAL: "equal"}[
        row.differences[figure.name].verdict
    ]
