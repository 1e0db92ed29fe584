"""A request that the first route of a folder serves, for a person to try. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import HTTPRoute, Manifests, PathType, RouteMatch, RouteRule
from pointsman.cluster.models import MODEL_HEADERS

CHAT: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """`model` is None for a route that wants no body."""

    path: str
    headers: Mapping[str, str]
    model: str | None


def first_request(manifests: Manifests, models: tuple[str, ...]) -> FirstRequest | None:
    """`models` are those that are served; the first is for a route that names none."""
    for _, route in sorted(manifests.routes.items()):
        for rule in route.rules:
            if rule.backends:
                return _of(route, rule, models)
    return None


def _of(route: HTTPRoute, rule: RouteRule, models: tuple[str, ...]) -> FirstRequest:
    match = next(iter(rule.matches), RouteMatch())
    hosts = [name for name in route.hostnames if not name.startswith("*")]
    headers = {"host": hosts[0]} if hosts else {}
    headers |= {each.name: each.value for each in match.headers if not each.regex and each.name not in MODEL_HEADERS}
    named = [each.value for each in match.headers if each.name in MODEL_HEADERS and not each.regex]
    path = match.path.value
    serves_chat = match.path.type is PathType.PREFIX and f"{CHAT}/".startswith(f"{path.rstrip('/')}/")
    model = next(iter((*named, *models)), None)
    if serves_chat and model is not None:
        return FirstRequest(CHAT, headers, model)
    return FirstRequest(
        path if match.path.type is not PathType.REGEX else "/", headers, model if path == CHAT else None
    )
