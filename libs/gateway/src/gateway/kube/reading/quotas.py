"""Quotas in a ConfigMap are read: each of its data is a YAML list of rules. Pure.

Of a rule `when` says for which requests, `tokens` or `requests` how many, and `per` in which window.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.kube.objects import Meta
from gateway.quotas.rules import ANY, Condition, Measure, Rule
from gateway.quotas.usage import PLAIN, Weights
from gateway.quotas.windows import CALENDAR_MONTH, DAY, HOUR, LONGEST, MINUTE, SECOND, Window
from gateway.schema import spelling, units
from gateway.schema.fields import Fields, fields_of
from gateway.schema.problems import Findings, Origin
from gateway.schema.values import Value
from gateway.schema.wording import nearest, what
from gateway.schema.yamltext import parse
from gateway.wire.quotas import ATTRIBUTES, HEADER_PREFIX

MOST: Final = 10**15  # of a limit; what Redis and JSON count exactly
HEAVIEST: Final = 1e6  # of a weight
_WINDOWS: Final = {
    "second": Window(SECOND),
    "minute": Window(MINUTE),
    "hour": Window(HOUR),
    "day": Window(DAY),
    "month": CALENDAR_MONTH,
}


def quotas(meta: Meta, data: Mapping[str, str], top: Fields) -> tuple[Rule, ...]:
    """The rules of a ConfigMap, in order."""
    rules: list[Rule] = []
    for key, text in data.items():
        findings = Findings()
        for located in parse(text, key, findings):
            listed = Value(located.data, "", Origin(key, located.marks), findings)
            for index, item in enumerate(listed.items()):
                fields = fields_of(item)
                found = rule(meta, f"{key}[{index}]", fields) if fields is not None else None
                rules += [found] if found is not None else []
        for problem in findings.problems:
            top.problem(f"data.{key}", str(problem))
    return tuple(rules)


def rule(meta: Meta, usual: str, item: Fields, given: Sequence[Condition] = ()) -> Rule | None:
    """One rule, for requests that meet the `given` conditions, too; None where it has a problem. `usual` is its name
    where it has none."""
    name = item.text("name", usual)
    conditions = _conditions(item, given)
    tokens, requests = (item.integer(measure.value, 0, MOST) for measure in Measure)
    window = _window(item)
    weights = _weights(item)
    is_shadow = item.boolean("shadow", default=False)
    if item.has("tokens") == item.has("requests"):
        item.problem("tokens", "expected either tokens or requests")
    if item.has("weights") and not item.has("tokens"):
        item.problem("weights", "only tokens have weights")
    item.done()
    limit = tokens if tokens is not None else requests
    if window is None or limit is None:
        return None
    measure = Measure.TOKENS if tokens is not None else Measure.REQUESTS
    counted = f"{measure}:{window.name}{':shadow' * is_shadow}"
    wanted = ",".join(f"{attribute}={value}" for attribute, value in conditions)
    return Rule(
        name=f"{meta.id}/{name}",
        key=f"{counted}:{wanted}",
        conditions=conditions,
        measure=measure,
        limit=limit,
        window=window,
        rivalry=f"{measure}:{window.name}",
        weights=weights,
        is_shadow=is_shadow,
    )


def _conditions(item: Fields, given: Sequence[Condition]) -> tuple[Condition, ...]:
    """Those of `when`, and those that are given, in the order of their attributes."""
    found = [*given]
    taken = {condition.attribute for condition in given}
    for attribute, value in item.strings("when").items():
        name = attribute.lower()
        if not is_attribute(name):
            item.problem(f"when.{attribute}", f"unknown attribute{nearest(attribute, (*ATTRIBUTES, 'header:NAME'))}")
        elif name in taken:
            item.problem(f"when.{attribute}", "is given by the place of the rule")
        elif not value or not value.isprintable():
            item.problem(f"when.{attribute}", f"expected a value, or {ANY!r} for each, got {what(value)}")
        found.append(Condition(name, value))
    return tuple(sorted(found))


def is_attribute(name: str) -> bool:
    """Whether it is one that requests can have."""
    return name in ATTRIBUTES or (
        name.startswith(HEADER_PREFIX) and spelling.is_header_name(name.removeprefix(HEADER_PREFIX))
    )


def _window(item: Fields) -> Window | None:
    text = item.text("per", required=True)
    known = _WINDOWS.get(text)
    if known is not None or not text:
        return known
    seconds = units.duration(text)
    if seconds is None or not SECOND <= seconds <= LONGEST:
        item.problem("per", f"expected {', '.join(_WINDOWS)}, or a duration from 1s to a year, got {what(text)}")
        return None
    return Window(seconds)


def _weights(item: Fields) -> Weights:
    """A cached token counts as any of the prompt, a reasoning one as any of the answer, where nothing else is said."""
    child = item.child("weights")
    if child is None:
        return PLAIN
    found: dict[str, float] = {}
    for kind, usual in (("input", None), ("cached", "input"), ("output", None), ("reasoning", "output")):
        written = child.value(kind)
        number = written.number(0, HEAVIEST) if written is not None else None
        found[kind] = number if number is not None else found[usual] if usual else 1.0
    child.done()
    return Weights(**found)
