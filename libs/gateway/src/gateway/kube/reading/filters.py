"""The filters of an HTTPRoute's rules and of their backends become values. Pure."""

import re
from typing import Final

from gateway.kube.objects import (
    BackendRef,
    Cors,
    FilterType,
    HeaderModifier,
    Meta,
    Mirror,
    ObjectName,
    PathModifier,
    Redirect,
    Rewrite,
    RouteFilter,
    UnservedFilter,
)
from gateway.kube.reading.parts import INT32, MAX_PORT, backend_of, check_port
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

CORS_AGE_SECONDS: Final = 5  # the API's default
METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_NO_BACKEND: Final = BackendRef(
    group="", kind="Service", id=ObjectName("", ""), port=None, weight=1, filters=()
)  # stands for one that was not written, which is a problem
_FILTER_FIELDS: Final = {
    FilterType.REQUEST_HEADERS: "requestHeaderModifier",
    FilterType.RESPONSE_HEADERS: "responseHeaderModifier",
    FilterType.REDIRECT: "requestRedirect",
    FilterType.REWRITE: "urlRewrite",
    FilterType.MIRROR: "requestMirror",
    FilterType.CORS: "cors",
}
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://(\*|(\*\.)?[A-Za-z0-9.-]+)(:[0-9]{1,5})?", re.ASCII)
# Filters of the API that are not served: where their settings stand.
_UNSERVED_FIELDS: Final = {"ExtensionRef": "extensionRef", "ExternalAuth": "externalAuth"}
_ONCE: Final = tuple(kind for kind in FilterType if kind is not FilterType.MIRROR)


def filters_of(meta: Meta, item: Fields) -> tuple[RouteFilter, ...]:
    """The `filters` of a rule or of one of its backends. Those of one kind that stand there twice are a mistake."""
    found: list[RouteFilter] = []
    kinds: list[str] = []
    for entry in item.children("filters", 16):
        kind = entry.text("type", required=True)
        kinds.append(kind)
        if kind in _UNSERVED_FIELDS:
            found.append(_unserved(kind, entry))
            continue
        if kind not in _FILTER_FIELDS:
            known = ", ".join((*_FILTER_FIELDS, *_UNSERVED_FIELDS))
            entry.problem("type", f"expected one of {known}, got {what(kind)}")
            continue
        kind = FilterType(kind)
        body = entry.child(_FILTER_FIELDS[kind], required=True)
        entry.done()
        if body:
            found.append(_filter(meta, kind, body))
            body.done()
    for kind in _ONCE:
        if kinds.count(kind) > 1:
            item.problem("filters", f"{kind} filter cannot be repeated")
    if {FilterType.REDIRECT, FilterType.REWRITE} <= set(kinds):
        item.problem("filters", "RequestRedirect and URLRewrite may not be used together")
    return tuple(found)


def _unserved(kind: str, entry: Fields) -> UnservedFilter:
    key = _UNSERVED_FIELDS[kind]
    body = entry.child(key, required=True)
    entry.done()
    if body is None or kind != "ExtensionRef":
        return UnservedFilter(kind)
    group, named, name = body.text("group"), body.text("kind", required=True), body.name("name", required=True)
    body.done()
    return UnservedFilter(kind, f"{named} {name} of group {group or 'core'}")


def _filter(meta: Meta, kind: FilterType, body: Fields) -> RouteFilter:
    match kind:
        case FilterType.REQUEST_HEADERS | FilterType.RESPONSE_HEADERS:
            return HeaderModifier(kind, _pairs(body, "set"), _pairs(body, "add"), _removed(body))
        case FilterType.REDIRECT:
            status = body.integer("statusCode", 301, 308, 302) or 302
            if status not in (301, 302, 303, 307, 308):
                body.problem("statusCode", f"expected 301, 302, 303, 307 or 308, got {status}")
            return Redirect(
                body.choice("scheme", ("", "http", "https"), ""),
                _hostname(body),
                _path_modifier(body),
                body.integer("port", 1, MAX_PORT),
                status,
            )
        case FilterType.REWRITE:
            return Rewrite(_hostname(body), _path_modifier(body))
        case FilterType.MIRROR:
            return _mirror(meta, body)
        case FilterType.CORS:
            return cors_of(body, body.integer("maxAge", 1, INT32, None))


def cors_of(body: Fields, max_age: int | None) -> Cors:
    """Which origins may ask for what. `max_age` in seconds is written in one way here and in another one elsewhere."""
    origins = body.texts("allowOrigins", 64)
    for index, origin in enumerate(origins):
        if not _ORIGIN.fullmatch(origin):
            body.problem(
                f"allowOrigins[{index}]", f"expected '*' or an origin such as https://*.x.org, got {what(origin)}"
            )
    headers, exposed = body.texts("allowHeaders", 64), body.texts("exposeHeaders", 64)
    for key, names in (("allowHeaders", headers), ("exposeHeaders", exposed)):
        for index, name in enumerate(names):
            if name != "*" and not spelling.is_header_name(name):
                body.problem(f"{key}[{index}]", f"not a header name: {what(name)}")
    methods = body.texts("allowMethods", 9)
    for index, method in enumerate(methods):
        if method not in (*METHODS[1:], "*"):
            body.problem(f"allowMethods[{index}]", f"expected one of {', '.join(METHODS[1:])}, *, got {what(method)}")
    credentials = body.boolean("allowCredentials", default=False)
    return Cors(origins, methods, headers, exposed, max_age=max_age or CORS_AGE_SECONDS, credentials=credentials)


def _mirror(meta: Meta, body: Fields) -> Mirror:
    ref, fraction = body.child("backendRef", required=True), body.child("fraction")
    percent = body.integer("percent", 0, 100)
    if fraction and percent is not None:
        body.problem("percent", "only one of percent or fraction may be specified")
    numerator, denominator = (100 if percent is None else percent), 100
    if fraction:
        denominator = fraction.integer("denominator", 1, 2**31 - 1, 100) or 100
        numerator = fraction.integer("numerator", 0, denominator, required=True) or 0
        fraction.done()
    backend = backend_of(meta, ref) if ref else _NO_BACKEND
    if ref:
        check_port(ref, backend)
        ref.done()
    return Mirror(backend, numerator, denominator)


def _pairs(body: Fields, key: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for item in body.children(key, 16):
        name, value = item.text("name", required=True, longest=256), item.one_line("value", required=True)
        if name:
            check_header(item, "name", name)
        item.done()
        if any(name.lower() == known for known, _ in pairs):
            item.problem("name", f"header {name.lower()} is there twice")
        pairs.append((name.lower(), value))
    return tuple(pairs)


def _removed(body: Fields) -> tuple[str, ...]:
    names = body.texts("remove", 16)
    for index, name in enumerate(names):
        check_header(body, f"remove[{index}]", name)
    return names


def check_header(item: Fields, key: str, name: str) -> None:
    """Whether a header of this name may be changed."""
    if not spelling.is_header_name(name):
        item.problem(key, f"not a header name: {what(name)}")
    elif name.lower() == "host":
        item.problem(key, "the host is changed by URLRewrite, not by a header")


def _hostname(body: Fields) -> str:
    name = body.text("hostname")
    if name and not spelling.is_hostname(name):
        body.problem("hostname", f"not a host name: {what(name)}")
    return name


def _path_modifier(body: Fields) -> PathModifier | None:
    path = body.child("path")
    if path is None:
        return None
    kind = path.choice("type", ("ReplaceFullPath", "ReplacePrefixMatch"), "ReplaceFullPath")
    if kind == "ReplaceFullPath":
        modifier = PathModifier(path.one_line("replaceFullPath", required=True, longest=1024), None)
    else:
        modifier = PathModifier(None, path.one_line("replacePrefixMatch", longest=1024))
    path.done()
    return modifier
