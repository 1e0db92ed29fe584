"""Means with confidence, and whether a difference is more than luck. Pure.

Contenders get the same traffic for each seed, so they are compared seed by seed: the mean of the differences with its
95 % confidence interval, by Student's t. An interval that holds zero is noise. One in twenty of such intervals misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, sqrt
from statistics import fmean, stdev

_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
      2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)  # fmt: skip
_T_MANY = 1.96
SMALL = 0.005
"""A difference of less than this share matters to nobody, however sure it is."""


class Verdict(StrEnum):
    """On a contender against another."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "noise"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and half the width of its 95 % confidence interval: None where one seed alone tells nothing."""

    mean: float
    half: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one to another, as a share of the other's mean; None where there is nothing to divide by."""

    share: Interval | None
    verdict: Verdict


def interval(values: Sequence[float]) -> Interval:
    """Of one figure over the seeds; infinite where any seed has none."""
    if not all(map(isfinite, values)):
        return Interval(float("inf"), None)
    if len(values) < 2:
        return Interval(fmean(values), None)
    return Interval(fmean(values), _t(len(values) - 1) * stdev(values) / sqrt(len(values)))


def difference(ours: Sequence[float], others: Sequence[float], *, is_more_better: bool) -> Difference:
    """Seed by seed."""
    sign = 1 if is_more_better else -1
    if not all(map(isfinite, (*ours, *others))):
        return Difference(None, _by_order(ours, others, sign))
    found = interval([one - other for one, other in zip(ours, others, strict=True)])
    base = abs(fmean(others))
    share = Interval(found.mean / base, found.half and found.half / base) if base else None
    return Difference(share, _verdict(found, base, sign))


def _verdict(found: Interval, base: float, sign: int) -> Verdict:
    if found.mean == 0 and not found.half:
        return Verdict.EQUAL
    if found.half is None or abs(found.mean) <= found.half:
        return Verdict.NOISE
    if base and abs(found.mean) < SMALL * base:
        return Verdict.EQUAL
    return Verdict.BETTER if sign * found.mean > 0 else Verdict.WORSE


def _by_order(ours: Sequence[float], others: Sequence[float], sign: int) -> Verdict:
    """Where requests were not served at all, by every seed alone."""
    pairs = list(zip(ours, others, strict=True))
    if all(one == other for one, other in pairs):
        return Verdict.EQUAL
    if len(pairs) > 1 and all(sign * one > sign * other for one, other in pairs):
        return Verdict.BETTER
    if len(pairs) > 1 and all(sign * one < sign * other for one, other in pairs):
        return Verdict.WORSE
    return Verdict.NOISE


def _t(freedom: int) -> float:
    return _T[freedom - 1] if freedom <= len(_T) else _T_MANY
