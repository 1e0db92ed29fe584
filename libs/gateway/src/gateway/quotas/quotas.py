"""`Quotas`: checks requests at admission, and charges their answers. Pure; counters may answer later.

Requests are counted when they are admitted, exactly. What tokens an answer costs is known at its end, so a request is
admitted while any are left: a client goes over its limit by what it has in flight, and by no more.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.quotas.counters import Claim, Counters, Counts
from gateway.quotas.estimates import Answer, Estimator
from gateway.quotas.rules import Measure, Rule, RuleSet, Subject
from gateway.quotas.usage import Usage
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
        """Say whether a request may pass; it is counted if so."""
        rules = self._rules.deciding(subject)

        def taken(found: Sequence[Counts] | None) -> None:
            verdict = UNKNOWN if found is None else judged([*map(standing, rules, found, (now,) * len(rules))])
            self._observer.decided(verdict)
            decided(verdict)

        if not rules:
            decided(ADMITTED)
            return
        claims = [_claim(rule, subject, int(rule.measure is Measure.REQUESTS)) for rule in rules]
        self._counters.take(claims, now, taken)

    def charge(self, subject: Subject, answer: Answer, now: float) -> Usage | None:
        """Count what an answer used; None for nothing."""
        usage = self._estimator.usage(subject.get(MODEL, ""), answer)
        if usage is None:
            return None
        rules = (rule for rule in self._rules.deciding(subject) if rule.measure is Measure.TOKENS)
        claims = [_claim(rule, subject, rule.weights.count(usage)) for rule in rules]
        if claims:
            self._counters.add(claims, now)
            self._observer.charged(usage)
        return usage


def _claim(rule: Rule, subject: Subject, amount: int) -> Claim:
    return Claim(rule.counter(subject), rule.key, rule.window, amount, None if rule.is_shadow else rule.limit)
