"""Which rules of a route are not accepted, in conditions beside Accepted and ResolvedRefs. Pure."""

from controlplane.status.conditions import PARTIALLY_INVALID, Condition, met, unmet
from gateway.kube.objects import HTTPRoute, RouteRule, UnservedFilter


def with_rules(accepted: Condition, route: HTTPRoute) -> tuple[Condition, ...]:
    """A route's Accepted condition at a parent, joined by PartiallyInvalid where some of its rules answer 500."""
    refused = {index: kind for index, rule in enumerate(route.rules) if (kind := _unserved(rule))}
    if not refused or not accepted.is_true:
        return (accepted,)
    message = "; ".join(f"rule {index} answers 500: filter {kind} is not supported" for index, kind in refused.items())
    if len(refused) == len(route.rules):
        return (unmet("Accepted", "UnsupportedValue", message),)
    return (accepted, met(PARTIALLY_INVALID, "UnsupportedValue", message))


def _unserved(rule: RouteRule) -> str:
    """The type of a filter that is not served. What an ExtensionRef leads to is the business of ResolvedRefs."""
    lists = (rule.filters, *(ref.filters for ref in rule.backends))
    found = (item for filters in lists for item in filters if isinstance(item, UnservedFilter) and not item.reference)
    return next((item.type for item in found), "")
