"""Durations and quantities. Pure: text in, a number or None out.

There is one grammar of durations, Go's. The Gateway API takes a part of it: no fractions, no units below a
millisecond, at most four parts of at most five digits.
"""

import re
from typing import Final

DURATION: Final = "a duration such as 10s, 200ms or 1m30s"
QUANTITY: Final = "a quantity such as 1Gi, 500M or 100"

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+")
_GATEWAY_DURATION: Final = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(?:[eE]([+-]?\d{1,2})|(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?")
_FACTORS: Final[dict[str | None, float]] = {
    None: 1,
    "m": 0.001,
    **{unit: 1000 ** (at + 1) for at, unit in enumerate("kMGTPE")},
    **{f"{unit}i": 1024 ** (at + 1) for at, unit in enumerate("KMGTPE")},
}


def duration(text: str) -> float | None:
    """Seconds of a Go duration: `200ms`, `1m30s`, `1.5h`; a bare `0` is one, too."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))


def gateway_duration(text: str) -> float | None:
    """Seconds of a Gateway API duration: `10s`, `1h30m`, `500ms`."""
    return duration(text) if _GATEWAY_DURATION.fullmatch(text) else None


def quantity(text: str) -> int | None:
    """A whole number of a Kubernetes quantity: `1Gi`, `500M`, `1e3`, `100`."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    factor = _FACTORS[found[3]] if found[2] is None else 10.0 ** int(found[2])
    return int(float(found[1]) * factor)
