"""A comparison as lines of text, and as JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from pointsman.columns import aligned
from pointsman.compare.measures import Comparison, Figures

_HEAD: Final = ("", "REQUESTS", "ERRORS", "TTFT P50", "P90", "P99", "HIT RATIO", "BUSIEST SERVER")
_NUMBERS: Final = range(1, len(_HEAD))  # columns that are set to the right


def lines(found: Comparison) -> list[str]:
    """Both halves side by side, and what it comes to."""
    rows = [_HEAD, _row("round robin", found.round_robin), _row("picker", found.picker)]
    return [*aligned(rows, _NUMBERS), "", verdict(found)]


def verdict(found: Comparison) -> str:
    """The difference in one sentence, or that there is none to be seen."""
    if found.gain_ms is None:
        return "too few answers yet to say more"
    gain, width = found.gain_ms
    if abs(gain) <= width:
        return f"mean time to a first token: {gain:+.0f} ± {width:.0f} ms, no more than noise"
    direction = "earlier" if gain > 0 else "later"
    return f"with the picker a first token comes {abs(gain):.0f} ± {width:.0f} ms {direction} in the mean"


def as_tree(found: Comparison, route: str, seconds: float) -> Mapping[str, Any]:
    """For programs."""
    gain = None if found.gain_ms is None else {"mean": found.gain_ms[0], "confidence": found.gain_ms[1]}
    return {
        "route": route, "seconds": round(seconds, 1), "round_robin": asdict(found.round_robin),
        "picker": asdict(found.picker), "ttft_gain_ms": gain,
    }  # fmt: skip


def _row(name: str, found: Figures) -> Sequence[str]:
    times = (found.ttft_p50, found.ttft_p90, found.ttft_p99)
    ratio = "unknown" if found.hit_ratio is None else f"{found.hit_ratio:.2f}"
    busiest = "–" if found.busiest is None else f"{found.busiest:.2f} × mean"
    return (
        name, str(found.requests), str(found.errors), *("–" if each is None else f"{each:.0f} ms" for each in times),
        ratio, busiest,
    )  # fmt: skip
