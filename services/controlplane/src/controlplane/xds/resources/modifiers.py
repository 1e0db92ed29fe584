"""HTTPRoute filters that change a request or an answer: headers, rewrites, redirects. Pure."""

import re
from typing import Final

from controlplane.xds.resources.names import Tree
from gateway.kube.objects import FilterType, HeaderModifier, PathMatch, Redirect, Rewrite, RouteFilter

_REDIRECT_CODES: Final = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_HEADER_FIELDS: Final = (
    "request_headers_to_add",
    "response_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_remove",
)


def headers(filters: tuple[RouteFilter, ...]) -> Tree:
    """The header changes of a rule or a backend, as fields of a route."""
    result: Tree = {}
    for found in filters:
        if not isinstance(found, HeaderModifier):
            continue
        side = "request" if found.type is FilterType.REQUEST_HEADERS else "response"
        written = [header(key, value, "OVERWRITE_IF_EXISTS_OR_ADD") for key, value in found.set]
        written += [header(key, value, "APPEND_IF_EXISTS_OR_ADD") for key, value in found.add]
        if written:
            result[f"{side}_headers_to_add"] = written
        if found.remove:
            result[f"{side}_headers_to_remove"] = list(found.remove)
    return result


def header(key: str, value: str, action: str) -> Tree:
    """Envoy's HeaderValueOption. A percent sign would start one of Envoy's format commands."""
    return {"header": {"key": key, "value": value.replace("%", "%%")}, "append_action": action}


def merged_headers(route: Tree, share: Tree) -> Tree:
    """A lone backend's header changes come after its rule's, as they do with several."""
    merged = dict(route)
    for key in _HEADER_FIELDS:
        own = share.pop(key, [])
        before = merged.get(key, [])
        assert isinstance(own, list)
        assert isinstance(before, list)
        if own or before:
            merged[key] = [*before, *own]
    return merged


def with_filters(route: Tree, settings: Tree) -> Tree:
    """A route with filter settings beside those that it has."""
    before = route.get("typed_per_filter_config", {})
    assert isinstance(before, dict)
    return {**route, "typed_per_filter_config": before | settings} if settings else route


def rewrite(filters: tuple[RouteFilter, ...], path: PathMatch) -> Tree:
    """The fields of a route's action that change host and path. An endpoint that has a name of its own is asked under
    it, whichever attempt reaches it."""
    wanted = next((found for found in filters if isinstance(found, Rewrite)), None)
    if wanted is None:
        return {"auto_host_rewrite": True}
    result: Tree = {"host_rewrite_literal": wanted.hostname} if wanted.hostname else {"auto_host_rewrite": True}
    if wanted.path is None:
        return result
    if wanted.path.full is not None:
        result["regex_rewrite"] = _regex_rewrite(r"^/[^?]*", wanted.path.full)
    elif wanted.path.prefix is not None:
        result.update(_prefix_rewrite(path, wanted.path.prefix))
    return result


def _prefix_rewrite(path: PathMatch, replacement: str) -> Tree:
    """Replacing `/a` by `/` must turn `/a/b` into `/b`, not `//b`."""
    shown = "/" + replacement.strip("/")
    if shown == "/":
        return {"regex_rewrite": _regex_rewrite(f"^{re.escape(path.value.rstrip('/'))}/*", "/")}
    return {"prefix_rewrite": shown if path.value.rstrip("/") else f"{shown}/"}


def _regex_rewrite(pattern: str, substitution: str) -> Tree:
    return {"pattern": {"regex": pattern}, "substitution": substitution.replace("\\", "\\\\")}


def redirect(wanted: Redirect, path: PathMatch) -> Tree:
    """Envoy's RedirectAction."""
    result: Tree = {"response_code": _REDIRECT_CODES[wanted.status]}
    if wanted.scheme:
        result["scheme_redirect"] = wanted.scheme
    if wanted.hostname:
        result["host_redirect"] = wanted.hostname
    if wanted.port:
        result["port_redirect"] = wanted.port
    if wanted.path is not None and wanted.path.full is not None:
        result["path_redirect"] = wanted.path.full
    elif wanted.path is not None and wanted.path.prefix is not None:
        result.update(_prefix_rewrite(path, wanted.path.prefix))
    return result
