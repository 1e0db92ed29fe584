"""What an operator sees of quotas. Labels are rules, which exist, and words of this module."""

from gateway.quotas.usage import Usage
from gateway.quotas.verdicts import Verdict
from gateway.service.metrics import Registry


class QuotaMetrics:
    """Observer of the quotas and of their counters."""

    def __init__(self, registry: Registry) -> None:
        name = "pointsman_quota_{}".format
        self._checks = registry.counter(
            name("checks_total"), "Requests checked: admitted, refused, or not checkable.", ("verdict",)
        )
        self._refusals = registry.counter(
            name("refusals_total"), "Requests over the limit of a rule; in shadow mode they passed.", ("rule", "mode")
        )
        self._tokens = registry.counter(
            name("charged_tokens_total"), "Tokens charged, as answers told them or as estimated.", ("kind", "source")
        )
        self._lost = registry.counter(name("lost_total"), "What was used and could not be counted anywhere.")

    def decided(self, verdict: Verdict) -> None:
        """See `QuotaObserver`."""
        refused = verdict.refused_by
        word = "unknown" if not verdict.is_known else "admitted" if refused is None else "refused"
        self._checks.add((word,))
        if refused is not None:
            self._refusals.add((refused.rule.name, "enforced"))
        for each in verdict.standings:
            if each.rule.is_shadow and each.is_exhausted:
                self._refusals.add((each.rule.name, "shadow"))

    def charged(self, usage: Usage) -> None:
        """See `QuotaObserver`."""
        source = "estimate" if usage.is_estimated else "answer"
        for kind, tokens in (("prompt", usage.prompt), ("completion", usage.completion)):
            if tokens:
                self._tokens.add((kind, source), tokens)

    def lost(self, amount: int) -> None:
        """See `CounterMetrics`."""
        self._lost.add(amount=amount)
