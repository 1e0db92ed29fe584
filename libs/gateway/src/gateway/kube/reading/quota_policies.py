"""Envoy AI Gateway's QuotaPolicy is read as rules. Pure.

A part of it that is not served makes the whole policy one that only restricts, and says why: none is left out in
silence. A model's quota is for requests for it by its own name, and for those that a route renames to it.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.kube.objects import AI_GATEWAY_GROUP, AccessPolicy, LabelSelector, Meta, ObjectName, PolicyTarget
from gateway.kube.reading.parts import spec_of
from gateway.quotas.rules import ANY, Condition, Measure, Rule
from gateway.quotas.usage import PLAIN, Weights
from gateway.quotas.windows import LONGEST, SECOND, Window
from gateway.schema import units
from gateway.schema.fields import Fields
from gateway.schema.wording import what
from gateway.wire.quotas import BACKEND_PREFIX, HEADER_PREFIX, MODEL, SERVED_MODEL, TRUE

KIND: Final = "QuotaPolicy"
MOST: Final = 10**15
MOST_ITEMS: Final = 128
_NUMBER: Final = r"\d+(?:\.\d+)?u?"
_TERM: Final = re.compile(rf"\s*([+-]?)\s*(?:({_NUMBER})\s*\*\s*)?([a-z_]+)(?:\s*\*\s*({_NUMBER}))?\s*")
_COUNTS: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "total_tokens")


def quota_policy(meta: Meta, top: Fields) -> AccessPolicy:
    """One with a problem closes what it targets; its whole namespace where a target cannot be read."""
    spec = spec_of(top)
    problems = spec.at("").findings.problems
    before = len(problems)
    targets = tuple(_target(item) for item in spec.children("targetRefs", 16))
    if len(problems) > before:
        targets = ()
    reader = _Reader(meta, [ObjectName(meta.id.namespace, target.name) for target in targets])
    service = spec.child("serviceQuota")
    if service is not None:
        reader.service(service)
    for index, item in enumerate(spec.children("perModelQuotas", MOST_ITEMS)):
        reader.model(item, index)
    spec.done()
    if len(problems) > before:
        reader.unserved.append("its specification has a problem")
    return AccessPolicy(
        meta,
        KIND,
        targets,
        LabelSelector({}),
        quotas=tuple(reader.rules),
        unserved="; ".join(reader.unserved),
    )


def _target(item: Fields) -> PolicyTarget:
    group, kind = item.text("group"), item.text("kind", required=True)
    if (group, kind) != (AI_GATEWAY_GROUP, "AIServiceBackend"):
        item.problem("kind", f"only an AIServiceBackend of {AI_GATEWAY_GROUP} can be a target")
    found = PolicyTarget(group, kind, item.name("name", required=True))
    item.done()
    return found


class _Reader:
    """Collects the rules of one policy, and what of it is not served."""

    def __init__(self, meta: Meta, backends: list[ObjectName]) -> None:
        self.rules: list[Rule] = []
        self.unserved: list[str] = []
        self._name = f"{KIND} {meta.id}"
        self._backends = backends

    def service(self, item: Fields) -> None:
        weights, value = self._weights(item), item.child("quota", required=True)
        if value is not None:
            self._add("serviceQuota", ((),), value, weights)
        item.done()

    def model(self, item: Fields, index: int) -> None:
        name, definition = item.text("modelName", required=True), item.child("quota", required=True)
        item.done()
        if definition is None:
            return
        models = tuple((Condition(attribute, name),) for attribute in (MODEL, SERVED_MODEL))
        weights = self._weights(definition)
        is_shared = definition.choice("mode", ("Exclusive", "Shared"), "Exclusive") == "Shared"
        usual = definition.child("defaultBucket")
        if usual is not None:
            self._add(f"perModelQuotas[{index}]", models, usual, weights)
        for at, bucket in enumerate(definition.children("bucketRules", MOST_ITEMS)):
            part = f"perModelQuotas[{index}].bucketRules[{at}]"
            selectors, value = self._selectors(bucket), bucket.child("quota", required=True)
            is_shadow = bucket.boolean("shadowMode", default=False)
            bucket.done()
            if value is not None:
                narrowed = tuple((*model, *selectors) for model in models)
                self._add(part, narrowed, value, weights, own=part * is_shared, is_shadow=is_shadow)
        definition.done()

    def _add(
        self,
        part: str,
        alternatives: tuple[tuple[Condition, ...], ...],
        value: Fields,
        weights: Weights,
        *,
        own: str = "",
        is_shadow: bool = False,
    ) -> None:
        """A rule for each backend and alternative. Those of one backend share a counter. `own`: it has no rivals."""
        limit = value.integer("limit", 0, MOST, required=True)
        window = _window(value)
        value.done()
        if limit is None or window is None:
            return
        for backend in self._backends:
            name = f"{self._name} {part}"
            of_backend = Condition(f"{BACKEND_PREFIX}{backend}", TRUE)
            self.rules += [
                Rule(
                    name=name,
                    key=f"{name} {backend} {window.name}{':shadow' * is_shadow}",
                    conditions=tuple(sorted((of_backend, *conditions))),
                    measure=Measure.TOKENS,
                    limit=limit,
                    window=window,
                    rivalry=f"{self._name} {backend} {own}",
                    weights=weights,
                    is_shadow=is_shadow,
                )
                for conditions in alternatives
            ]

    def _weights(self, item: Fields) -> Weights:
        text = item.text("costExpression")
        found = linear(text) if text else PLAIN
        if found is None:
            self.unserved.append(
                f"costExpression {what(text)} is not supported; a sum of weighed {', '.join(_COUNTS)} is"
            )
        return found or PLAIN

    def _selectors(self, bucket: Fields) -> tuple[Condition, ...]:
        return tuple(
            condition for selector in bucket.children("clientSelectors", 8) for condition in self._conditions(selector)
        )

    def _conditions(self, selector: Fields) -> Iterator[Condition]:
        for header in selector.children("headers", 16):
            kind, name = header.text("type", "Exact"), header.text("name", required=True).lower()
            value, is_inverted = header.text("value"), header.boolean("invert", default=False)
            header.done()
            if kind not in ("Exact", "Distinct") or is_inverted:
                self.unserved.append(f"a selector of type {'inverted ' * is_inverted}{kind} is not supported")
            yield Condition(f"{HEADER_PREFIX}{name}", value if kind == "Exact" else ANY)
        for key in sorted(selector.keys() - {"headers"}):
            selector.known(key)
            self.unserved.append(f"a selector by {key} is not supported")


def _window(value: Fields) -> Window | None:
    text = value.text("duration", required=True)
    seconds = float(text) if text.isascii() and text.isdecimal() else units.duration(text)
    if not text:
        return None
    if seconds is None or not SECOND <= seconds <= LONGEST:
        value.problem("duration", f"expected a duration from 1s to a year, got {what(text)}")
        return None
    return Window(seconds)


def linear(expression: str) -> Weights | None:
    """The weights of a sum of weighed counts; None for any other expression."""
    weights, at = dict.fromkeys(_COUNTS, 0.0), 0
    while at < len(expression):
        term = _TERM.match(expression, at)
        if term is None or term[3] not in weights or bool(term[1]) == (at == 0 and term[1] != "-"):
            return None
        if term[2] and term[4]:
            return None
        factor = float((term[2] or term[4] or "1").rstrip("u"))
        weights[term[3]] += -factor if term[1] == "-" else factor
        at = term.end()
    prompt = weights["input_tokens"] + weights["total_tokens"]
    answer = weights["output_tokens"] + weights["total_tokens"]
    found = Weights(prompt, prompt + weights["cached_input_tokens"], answer, answer + weights["reasoning_tokens"])
    is_possible = min(found.input, found.cached, found.output, found.reasoning) >= 0
    return found if is_possible else None
