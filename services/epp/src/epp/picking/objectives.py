"""What the manifests say about a request: how important it is, and which model really answers it. Pure."""

from dataclasses import replace
from random import Random
from typing import NamedTuple

from epp.domain import PoolSpec, Request
from gateway.wire import protocol

# Milliseconds with more digits are some years, and no objective.
_DIGITS_LIMIT = 12


def with_known_names(request: Request) -> Request:
    """The request with llm-d's spellings of control headers under the names that are read here."""
    headers = request.headers
    if headers.keys().isdisjoint(protocol.CLIENT_HEADER_ALIASES):
        return request
    known = {name: headers[alias] for alias, name in protocol.CLIENT_HEADER_ALIASES.items() if alias in headers}
    return replace(request, headers={**headers, **known})


def priority_of(door: Request, model: str | None, pool: PoolSpec) -> int:
    """By the objective that the request names; without one by its model, where a legacy InferenceModel ranks that.
    None is higher than the router allows the tenant."""
    headers = door.headers
    objective = headers.get(protocol.OBJECTIVE)
    found = pool.model_priorities.get(model or "", 0) if objective is None else pool.priorities.get(objective, 0)
    ceiling = headers.get(protocol.PRIORITY_CEILING)
    return found if ceiling is None else _at_most(ceiling, found, pool)


def _at_most(ceiling: str, priority: int, pool: PoolSpec) -> int:
    """A priority that is no higher than a ceiling, where that is a number."""
    digits = ceiling.removeprefix("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) < _DIGITS_LIMIT
    return min(priority, pool.ceiling(int(ceiling))) if is_number else priority


def ttft_objective(request: Request) -> float | None:
    """Seconds within which the client wants the first token: whole milliseconds in a header; others are ignored."""
    for name in protocol.TTFT_OBJECTIVES:
        text = request.headers.get(name, "")
        if text.isascii() and text.isdigit() and len(text) < _DIGITS_LIMIT:
            return int(text) / 1000
    return None


def first_token_limit(request: Request, pool: PoolSpec) -> float | None:
    """Seconds within which a streamed answer must have begun: the shorter one of its route's and its objective's."""
    if not pool.first_tokens:
        return request.first_token
    found = request.first_token, pool.first_tokens.get(request.headers.get(protocol.OBJECTIVE, ""))
    return min((each for each in found if each), default=None)


class Target(NamedTuple):
    """The model that answers, and the object that says so."""

    model: str
    rewrite: str = ""


def target_of(door: Request, model: str | None, pool: PoolSpec, random: Random) -> Target:
    """A matching rewrite of the pool, drawn by weight; else the header's word; else the model itself."""
    if model is None:
        return Target("")
    for rule in pool.rewrites:
        if rule.targets and (not rule.models or model in rule.models):
            weights = [target.weight for target in rule.targets]
            # All zero is an even choice.
            drawn = random.choices(rule.targets, weights if any(weights) else None)[0]
            return Target(drawn.model, rule.name)
    return Target(door.headers.get(protocol.MODEL_NAME_REWRITE) or model)
