"""Cross-origin requests: Envoy's CORS filter, its settings on routes, and routes that only answer preflights. Pure.

A preflight is an OPTIONS request without body or own headers, so a route that matches on the model, a header or a
method does not match it. Each such route has a companion that does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controlplane.plan.entries import Entry, VirtualHost
from controlplane.xds.resources import modifiers, names
from controlplane.xds.resources.matches import match
from controlplane.xds.resources.names import Tree, typed
from gateway.kube.objects import Cors, PathMatch, PathType, RouteMatch, ValueMatch

_CORS: Final = "envoy.extensions.filters.http.cors.v3"
_METHODS: Final = (
    "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"  # what `*` means; with credentials a browser wants names
)


def filters(hosts: Iterable[VirtualHost]) -> list[Tree]:
    """The HTTP filter of a listener, where a rule asks for it. It follows whatever chooses the route."""
    if any(rule(entry) for host in hosts for entry in host.entries):
        return [{"name": names.CORS_FILTER, "typed_config": typed(f"{_CORS}.Cors")}]
    return []


def rule(entry: Entry) -> Cors | None:
    """The CORS filter of an entry's rule, else that of its policy. One that may not be reached has none."""
    if entry.is_restricted or entry.is_refused:
        return None
    of_policy = entry.protection.rules.cors if entry.protection is not None else None
    return next((item for item in entry.rule.filters if isinstance(item, Cors)), of_policy)


def on_host(host: VirtualHost) -> Cors | None:
    """The first CORS filter of a host's rules."""
    return next((found for entry in host.entries if (found := rule(entry))), None)


def by_path(host: VirtualHost) -> Mapping[PathMatch, Cors]:
    """The first CORS filter of the rules on each path that has one."""
    return {entry.match.path: found for entry in reversed(host.entries) if (found := rule(entry))}


def settings(cors: Cors | None) -> Tree:
    """Filter settings of a route."""
    if cors is None:
        return {}
    methods, headers = ", ".join(cors.methods), ", ".join(cors.headers)
    policy = typed(
        f"{_CORS}.CorsPolicy",
        allow_origin_string_match=[_origin(origin) for origin in cors.origins],
        allow_methods=_METHODS if "*" in cors.methods else methods,
        allow_headers="*" if "*" in cors.headers else headers,
        expose_headers=", ".join(cors.exposed),
        max_age=str(cors.max_age),
        allow_credentials=cors.credentials,
        forward_not_matching_preflights=False,
    )
    return {names.CORS_FILTER: policy}


def with_settings(route: Tree, cors: Cors | None) -> Tree:
    """A route with the filter's settings beside those that it has."""
    return modifiers.with_filters(route, settings(cors))


def preflights(entry: Entry) -> Iterator[Tree]:
    """The companion of an entry that a preflight would not match, or that is checked for what no preflight brings."""
    found = rule(entry)
    is_checked = entry.protection is not None and entry.protection.rules.restricts
    if found is not None and (entry.match.headers or entry.match.method or is_checked):
        yield preflight(entry.name, entry.match, found)


def preflight(name: str, wanted: RouteMatch, cors: Cors) -> Tree:
    """A route for the preflights of requests that match. The filter answers them, so they need no cluster."""
    method = wanted.method or ".+"
    sent = (
        ValueMatch("origin", ".+", regex=True),
        ValueMatch("access-control-request-method", method, regex=not wanted.method),
    )
    route: Tree = {
        "name": f"{name}/preflight",
        "match": match(RouteMatch(wanted.path, sent, wanted.query, "OPTIONS")),
        "route": {"cluster": names.ABSENT_CLUSTER},
    }
    return with_settings(route, cors)


def exact(path: str) -> RouteMatch:
    """A match of one path."""
    return RouteMatch(PathMatch(PathType.EXACT, path))


def _origin(origin: str) -> Tree:
    if origin == "*":
        return {"exact": "*"}  # the filter's own word for every origin
    if "*" not in origin:
        return {"exact": origin, "ignore_case": True}
    pattern = re.escape(origin).replace(r"\*", r"[A-Za-z0-9.\-]+")
    return {"safe_regex": {"regex": f"(?i){pattern}"}}
