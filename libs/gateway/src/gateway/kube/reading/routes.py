"""An HTTPRoute document becomes a value. Pure; the rules are those of Gateway API v1 and its CEL expressions."""

import re
from typing import Final

from gateway.kube.objects import (
    GATEWAY_GROUP,
    BackendRef,
    Cors,
    FilterType,
    HeaderModifier,
    HTTPRoute,
    Meta,
    Mirror,
    ObjectName,
    ParentRef,
    PathMatch,
    PathModifier,
    PathType,
    Redirect,
    Rewrite,
    RouteFilter,
    RouteMatch,
    RouteRule,
    Timeouts,
    UnservedFilter,
    ValueMatch,
)
from gateway.kube.reading.parts import MAX_PORT, MAX_WEIGHT, spec_of
from gateway.kube.reading.retries import retry_of, timeouts_of
from gateway.kube.reading.sessions import session_of
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

_NO_BACKEND: Final = BackendRef(
    group="", kind="Service", id=ObjectName("", ""), port=None, weight=1, filters=()
)  # stands for one that was not written, which is a problem
_METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
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


def http_route(meta: Meta, top: Fields) -> HTTPRoute:
    spec = spec_of(top)
    hostnames = tuple(name.lower() for name in spec.texts("hostnames", 16))
    for index, name in enumerate(hostnames):
        if not spelling.is_hostname(name, wildcard=True):
            spec.problem(f"hostnames[{index}]", f"not a host name: {what(name)}")
    parents = tuple(parent_ref(meta, item) for item in spec.children("parentRefs", 32))
    spec.ignored("useDefaultGateways", "without effect here")
    written = spec.children("rules", 16)
    rules = tuple(_rule(meta, item) for item in written) if spec.has("rules") else (_default_rule(),)
    spec.done()
    return HTTPRoute(meta, parents, hostnames, rules)


def _default_rule() -> RouteRule:
    return RouteRule("", (RouteMatch(),), (), (), Timeouts())


def parent_ref(meta: Meta, item: Fields) -> ParentRef:
    parent = ParentRef(
        group=item.text("group", GATEWAY_GROUP),
        kind=item.text("kind", "Gateway"),
        id=ObjectName(item.name("namespace", meta.id.namespace), item.name("name", required=True)),
        section_name=item.name("sectionName"),
        port=item.integer("port", 1, MAX_PORT),
    )
    item.done()
    return parent


def _rule(meta: Meta, item: Fields) -> RouteRule:
    timeouts, retry, session = item.child("timeouts"), item.child("retry"), item.child("sessionPersistence")
    rule = RouteRule(
        name=item.text("name", longest=253),
        matches=tuple(_match(match) for match in item.children("matches", 64)) or (RouteMatch(),),
        filters=_filters(meta, item),
        backends=tuple(_backend(meta, ref, with_filters=True) for ref in item.children("backendRefs", 16)),
        timeouts=timeouts_of(timeouts) if timeouts else Timeouts(),
        retry=retry_of(retry) if retry else None,
        session=session_of(session) if session else None,
    )
    kinds = {type(found) for found in rule.filters}
    if Redirect in kinds and rule.backends:
        item.problem("filters", "RequestRedirect filter must not be used together with backendRefs")
    if Redirect in kinds and Rewrite in kinds:
        item.problem("filters", "RequestRedirect and URLRewrite may not be used together")
    _check_prefix_modifiers(item, rule)
    item.done()
    return rule


def _check_prefix_modifiers(item: Fields, rule: RouteRule) -> None:
    """replacePrefixMatch needs a prefix to replace."""
    replaces = any(
        isinstance(found, Redirect | Rewrite) and found.path is not None and found.path.prefix is not None
        for found in rule.filters
    )
    if replaces and any(match.path.type is not PathType.PREFIX for match in rule.matches):
        item.problem("filters", "ReplacePrefixMatch needs every match of the rule to be a PathPrefix")


def _match(item: Fields) -> RouteMatch:
    path = item.child("path")
    match = RouteMatch(
        path=_path(path) if path else PathMatch(),
        headers=value_matches(item, "headers"),
        query=value_matches(item, "queryParams"),
        method=item.choice("method", _METHODS, ""),
    )
    item.done()
    return match


def _path(item: Fields) -> PathMatch:
    kind = PathType(item.choice("type", tuple(PathType), PathType.PREFIX))
    value = item.text("value", "/", longest=1024)
    if kind is PathType.REGEX:
        _check_regex(item, "value", value)
    elif not value.startswith("/"):
        item.problem("value", f"must start with '/', got {what(value)}")
    elif not spelling.is_path(value):
        item.problem("value", f"holds a character that a path must write as %XX, got {what(value)}")
    elif any(part in value for part in ("//", "/./", "/../", "%2f", "%2F")) or value.endswith(("/..", "/.")):
        item.problem("value", f"must not contain //, /./, /../ or %2F, got {what(value)}")
    item.done()
    return PathMatch(kind, value)


def value_matches(item: Fields, key: str) -> tuple[ValueMatch, ...]:
    """The first of several entries with one name counts, as the API says."""
    found: dict[str, ValueMatch] = {}
    for match in item.children(key, 16):
        regex = match.choice("type", ("Exact", "RegularExpression"), "Exact") != "Exact"
        name, value = match.text("name", required=True, longest=256), match.text("value", required=True)
        if key == "headers":
            name = name.lower()
        if name and not spelling.is_header_name(name):
            match.problem("name", f"not a name: {what(name)}")
        if regex:
            _check_regex(match, "value", value)
        match.done()
        found.setdefault(name, ValueMatch(name, value, regex))
    return tuple(found.values())


def _check_regex(item: Fields, key: str, pattern: str) -> None:
    fault = spelling.regex_fault(pattern)
    if fault:
        item.problem(key, fault)


def _backend(meta: Meta, item: Fields, *, with_filters: bool = False) -> BackendRef:
    weight = item.integer("weight", 0, MAX_WEIGHT, 1) if with_filters else 1
    backend = BackendRef(
        group=item.text("group"),
        kind=item.text("kind", "Service"),
        id=ObjectName(item.name("namespace", meta.id.namespace), item.name("name", required=True)),
        port=item.integer("port", 1, MAX_PORT),
        weight=1 if weight is None else weight,
        filters=_filters(meta, item) if with_filters else (),
        is_bare=not item.has("group") and not item.has("kind"),
    )
    if backend.is_service and backend.port is None and not (backend.is_bare and with_filters):
        item.problem("port", "must have port for Service reference")
    item.done()
    return backend


def _filters(meta: Meta, item: Fields) -> tuple[RouteFilter, ...]:
    found: list[RouteFilter] = []
    for entry in item.children("filters", 16):
        kind = entry.text("type", required=True)
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
            return _cors(body)


def _cors(body: Fields) -> Cors:
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
        if method not in (*_METHODS[1:], "*"):
            body.problem(f"allowMethods[{index}]", f"expected one of {', '.join(_METHODS[1:])}, *, got {what(method)}")
    max_age = body.integer("maxAge", 1, 2**31 - 1, 5) or 5
    credentials = body.boolean("allowCredentials", default=False)
    return Cors(origins, methods, headers, exposed, max_age=max_age, credentials=credentials)


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
    backend = _backend(meta, ref) if ref else _NO_BACKEND
    return Mirror(backend, numerator, denominator)


def _pairs(body: Fields, key: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in body.children(key, 16):
        name, value = item.text("name", required=True, longest=256), item.one_line("value", required=True)
        if name:
            check_header(item, "name", name)
        item.done()
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
