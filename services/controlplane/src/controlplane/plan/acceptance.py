"""Which rules of a route answer 500, and how that shows in conditions beside ResolvedRefs. Pure."""

from collections.abc import Mapping

from controlplane.plan.restrictions import Restrictions
from controlplane.status.conditions import PARTIALLY_INVALID, Condition, met, unmet
from gateway.kube.objects import HTTPRoute, ParentRef, RouteRule, UnservedFilter


def with_rules(accepted: Condition, route: HTTPRoute, ref: ParentRef, kept: Restrictions) -> tuple[Condition, ...]:
    """A route's Accepted condition at a parent, joined by PartiallyInvalid where some of its rules answer 500."""
    reasons = {index: reason for index in range(len(route.rules)) if (reason := _reason(route, index, ref, kept))}
    if not reasons or not accepted.is_true:
        return (accepted,)
    message = _message(reasons)
    if len(reasons) == len(route.rules):
        return (unmet("Accepted", "UnsupportedValue", message),)
    return (accepted, met(PARTIALLY_INVALID, "UnsupportedValue", message))


def _message(reasons: Mapping[int, str]) -> str:
    return "; ".join(f"rule {index} answers 500: {reason}" for index, reason in reasons.items())


def _reason(route: HTTPRoute, index: int, ref: ParentRef, kept: Restrictions) -> str:
    rule = route.rules[index]
    restricted = kept.of("Gateway", ref.id, ref.section_name) or kept.of("HTTPRoute", route.meta.id, rule.name)
    return restricted or _unserved(rule)


def _unserved(rule: RouteRule) -> str:
    """A filter that is not served. What an ExtensionRef leads to is the business of ResolvedRefs."""
    lists = (rule.filters, *(ref.filters for ref in rule.backends))
    found = (item for filters in lists for item in filters if isinstance(item, UnservedFilter) and not item.reference)
    return next((f"filter {item.type} is not supported" for item in found), "")
