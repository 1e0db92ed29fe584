"""RouteMatches in Envoy's words. Pure."""

import re

from controlplane.xds.resources.names import Tree
from gateway.kube.objects import PathMatch, PathType, RouteMatch, ValueMatch


def match(wanted: RouteMatch) -> Tree:
    """A RouteMatch in Envoy's words. A path prefix ends at a slash: /v1 matches /v1/models and not /v1x."""
    headers = [_value(header) for header in wanted.headers]
    if wanted.method:
        headers.append({"name": ":method", "string_match": {"exact": wanted.method}})
    result: Tree = path(wanted.path)
    if headers:
        result["headers"] = headers
    if wanted.query:
        result["query_parameters"] = [_value(item) for item in wanted.query]
    return result


def path(wanted: PathMatch) -> Tree:
    match wanted.type:
        case PathType.EXACT:
            return {"path": wanted.value}
        case PathType.REGEX:
            return {"safe_regex": {"regex": wanted.value}}
        case PathType.PREFIX:
            prefix = wanted.value.rstrip("/")
            return {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}


def serves(wanted: RouteMatch, exactly: str) -> bool:
    """Whether every GET of a path matches, whatever its headers and query."""
    return not (wanted.headers or wanted.query) and wanted.method in ("", "GET") and covers(wanted.path, exactly)


def covers(path: PathMatch, exactly: str) -> bool:
    """Whether a match has a path among its own."""
    value = path.value
    match path.type:
        case PathType.EXACT:
            return value == exactly
        case PathType.PREFIX:
            return f"{exactly}/".startswith(f"{value.rstrip('/')}/")
        case PathType.REGEX:
            return re.fullmatch(value, exactly) is not None


def overlap(one: PathMatch, other: PathMatch) -> bool:
    """Whether some path may be among those of both; of two that say so by a regular expression it may."""
    if one.type is PathType.EXACT:
        return covers(other, one.value)
    if other.type is PathType.EXACT:
        return covers(one, other.value)
    if PathType.REGEX in (one.type, other.type):
        return True
    return covers(one, other.value) or covers(other, one.value)


def _value(wanted: ValueMatch) -> Tree:
    matcher = {"safe_regex": {"regex": wanted.value}} if wanted.regex else {"exact": wanted.value}
    return {"name": wanted.name, "string_match": matcher}
