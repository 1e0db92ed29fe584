"""Quotas that Envoy is to ask about, and what their authors should know of them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.options import Options
from controlplane.status.conditions import Condition, met, unmet
from gateway.kube.objects import AccessPolicy, Manifests, ObjectName
from gateway.kube.resolution.base_models import base_models
from gateway.kube.resolution.quotas import overruled_policies, quota_rules
from gateway.quotas.rules import ANY, MOST_RULES, Rule, RuleSet
from gateway.wire import protocol
from gateway.wire.quotas import ATTRIBUTES, BACKEND_PREFIX, HEADER_PREFIX, MODEL

NO_SERVICE = "no --quota-address says which service counts them"
MOST_OVERLAPS = 20  # that are shown; a folder of a thousand rules may have many more


@dataclass(frozen=True, slots=True)
class PlannedQuotas:
    """What is told of each request: headers by attribute, and which AIServiceBackends it may be for."""

    headers: tuple[tuple[str, str], ...]
    backends: frozenset[str]


def planned_quotas(manifests: Manifests, options: Options) -> PlannedQuotas | None:
    """None where nothing is to be asked."""
    rules = quota_rules(manifests)
    if not rules or options.quotas is None:
        return None
    wanted = {*RuleSet(rules).attributes, MODEL}  # estimates are kept by model
    headers = {name: ATTRIBUTES.get(name, name.removeprefix(HEADER_PREFIX)) for name in wanted}
    named = {name: header for name, header in headers.items() if name in ATTRIBUTES or name.startswith(HEADER_PREFIX)}
    backends = frozenset(name for name in wanted if name.startswith(BACKEND_PREFIX))
    return PlannedQuotas(tuple(sorted(named.items())), backends)


def is_enforced(policy: AccessPolicy, options: Options) -> bool:
    """Whether a policy is one of quotas, and keeps nobody out but those who use them up."""
    return policy.quotas is not None and not policy.unserved and (options.quotas is not None or not policy.quotas)


def quota_condition(policy: AccessPolicy, manifests: Manifests) -> Condition:
    """What became of a policy that is enforced."""
    namespace = policy.meta.id.namespace
    found = [ObjectName(namespace, each.name) in manifests.ai_backends for each in policy.targets]
    older = overruled_policies(manifests).get(policy.own_name)
    losers = [name for name, winner in overruled_policies(manifests).items() if winner is policy]
    if older is not None:
        return unmet("Accepted", "Conflicted", f"{older} has its target and is older: it alone counts")
    if not any(found):
        return unmet("Accepted", "TargetNotFound", "it targets nothing that is here")
    words = "its quotas are enforced" if policy.quotas else "it sets no quota"
    also = f"; it alone counts, not {', '.join(map(str, losers))}" if losers else ""
    return met("Accepted", "Accepted", words + also)


def quota_warnings(manifests: Manifests, options: Options) -> Iterator[str]:
    """What is not enforced, or perhaps not as it was meant."""
    rules = quota_rules(manifests)
    if options.quotas is None:
        sources = [name for name, found in sorted(manifests.config_maps.items()) if found.quotas]
        yield from (f"ConfigMap {name}: its quotas are not enforced: {NO_SERVICE}" for name in sources)
        return
    if len(rules) > MOST_RULES:
        yield f"quotas: only the first {MOST_RULES} of {len(rules)} rules are enforced"
    for rule in {rule.key: rule for rule in reversed(rules)}.values():
        yield from (f"quota {rule.name}: {remark}" for remark in _remarks(rule, manifests))
    overlaps = {
        f"quota {each.loser.name}: {_words(each.winner, is_whole=each.is_whole)}" for each in RuleSet(rules).overlaps()
    }
    yield from sorted(overlaps)[:MOST_OVERLAPS]
    if len(overlaps) > MOST_OVERLAPS:
        yield f"quotas: {len(overlaps) - MOST_OVERLAPS} more rules give way to others"


def _words(winner: Rule, *, is_whole: bool) -> str:
    if is_whole:
        return f"without effect: {winner.name} is for the same requests"
    return f"gives way to {winner.name}, which is more specific"


def _remarks(rule: Rule, manifests: Manifests) -> Iterator[str]:
    if rule.limit == 0:
        yield "a limit of 0 refuses every request"
    model = dict(rule.conditions).get(MODEL, ANY)
    if model != ANY and not is_served(model, manifests):
        yield f"no route serves a model {model!r}"


def is_served(model: str, manifests: Manifests) -> bool:
    """Whether some route may serve a model of this name. A route that matches on no model may serve any."""
    bases = base_models(manifests).names
    if model in bases or model in bases.values():
        return True
    for route in manifests.routes.values():
        for rule in route.rules:
            if any(
                (f'"{model}"') == value
                for ref in rule.backends
                for name, value in ref.changes.fields
                if name == "model"
            ):
                return True
            for match in rule.matches:
                named = [header for header in match.headers if header.name.lower() in _MODEL_HEADERS]
                if not named or any(header.regex or header.value == model for header in named):
                    return True
    return False


_MODEL_HEADERS = (protocol.MODEL_NAME, protocol.BASE_MODEL_NAME, *protocol.MODEL_NAME_ALIASES)
