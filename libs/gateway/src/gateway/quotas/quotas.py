"""`Quotas`: checks requests at admission, and charges their answers. Pure; counters may answer later.

Requests are counted when they are admitted, exactly. What tokens an answer costs is known at its end; until then the
average of its model's answers is taken. A request is admitted while any tokens are left, so its tenant goes over a
limit by one answer, and by as much as those in flight are longer than the average.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.quotas.counters import Claim, Counters, Counts
from gateway.quotas.estimates import Answer, Estimator
from gateway.quotas.rules import Measure, Rule, RuleSet, Subject
from gateway.quotas.usage import Reserved, Usage
from gateway.quotas.verdicts import ADMITTED, UNKNOWN, Verdict, judged, standing

MODEL = "model"  # the attribute that estimates are kept by


class QuotaObserver(Protocol):
    """What an operator counts."""

    def decided(self, verdict: Verdict) -> None:
        """A request was checked."""

    def charged(self, usage: Usage) -> None:
        """An answer was charged."""


class Quotas:
    """The rules in force, and what was used of them."""

    def __init__(self, counters: Counters, observer: QuotaObserver) -> None:
        self._counters = counters
        self._observer = observer
        self._rules = RuleSet()
        self._estimator = Estimator()

    def replace(self, rules: RuleSet) -> None:
        """Other rules from now on. A rule whose key stays goes on with its counts."""
        self._rules = rules

    def admit(self, subject: Subject, now: float, decided: Callable[[Verdict], None]) -> None:
        """Say whether a request may pass; it is counted if so, with the tokens that its answer may use."""
        rules = self._rules.deciding(subject)
        if not rules:
            decided(ADMITTED)
            return
        expected = self._estimator.expected(subject.get(MODEL, ""))
        reserved = Reserved(expected.prompt, expected.completion, now, self._rules.fingerprint)

        def taken(found: Sequence[Counts] | None) -> None:
            verdict = UNKNOWN if found is None else judged([*map(standing, rules, found, (now,) * len(rules))])
            if verdict.is_known and verdict.refused_by is None and expected.total:
                verdict = verdict._replace(reserved=reserved)
            self._observer.decided(verdict)
            decided(verdict)

        self._counters.take([_claim(rule, subject, _taken(rule, expected)) for rule in rules], now, taken)

    def charge(self, subject: Subject, answer: Answer, now: float, reserved: Reserved | None = None) -> Usage | None:
        """Count what an answer used, None for nothing, in the place of what was `reserved` for it."""
        usage = self._estimator.usage(subject.get(MODEL, ""), answer)
        if usage is None and reserved is None:
            return None
        rules = [rule for rule in self._rules.deciding(subject) if rule.measure is Measure.TOKENS]
        if rules and reserved is not None and reserved.rules == self._rules.fingerprint:
            taken = Usage(reserved.prompt, completion=reserved.completion)
            self._counters.add([_claim(rule, subject, -rule.weights.count(taken)) for rule in rules], reserved.at)
        if rules and usage is not None:
            self._counters.add([_claim(rule, subject, rule.weights.count(usage)) for rule in rules], now)
            self._observer.charged(usage)
        return usage


def _taken(rule: Rule, expected: Usage) -> int:
    """What a request takes of a rule's counter when it is admitted."""
    return 1 if rule.measure is Measure.REQUESTS else rule.weights.count(expected)


def _claim(rule: Rule, subject: Subject, amount: int) -> Claim:
    return Claim(rule.counter(subject), rule.key, rule.window, amount, None if rule.is_shadow else rule.limit)
