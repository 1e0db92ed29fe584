"""An HTTPRoute document becomes a value. Pure; the rules are those of Gateway API v1 and its CEL expressions."""

from typing import Final

from gateway.kube.objects import (
    GATEWAY_GROUP,
    BackendRef,
    HTTPRoute,
    Meta,
    ObjectName,
    ParentRef,
    PathMatch,
    PathType,
    Redirect,
    Rewrite,
    RouteMatch,
    RouteRule,
    Timeouts,
    ValueMatch,
)
from gateway.kube.reading.filters import METHODS, filters_of
from gateway.kube.reading.parts import MAX_PORT, MAX_WEIGHT, backend_of, check_port, check_sections, spec_of
from gateway.kube.reading.retries import retry_of, timeouts_of
from gateway.kube.reading.sessions import session_of
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

MAX_MATCHES: Final = 128  # of all rules of a route


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
    check_sections(spec, "parentRefs", [_parent_and_part(ref) for ref in parents], "sectionName or port")
    names = [rule.name for rule in rules if rule.name]
    if len(set(names)) != len(names):
        spec.problem("rules", "Rule name must be unique within the route")
    if sum(len(rule.matches) for rule in rules) > MAX_MATCHES:
        spec.problem("rules", f"total number of matches across all rules in a route must be less than {MAX_MATCHES}")
    spec.done()
    return HTTPRoute(meta, parents, hostnames, rules)


def _parent_and_part(ref: ParentRef) -> tuple[object, object]:
    part = (ref.section_name, ref.port)
    return (ref.group, ref.kind, ref.id), part if any(part) else None


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
        filters=filters_of(meta, item),
        backends=tuple(_backend(meta, ref) for ref in item.children("backendRefs", 16)),
        timeouts=timeouts_of(timeouts) if timeouts else Timeouts(),
        retry=retry_of(retry) if retry else None,
        session=session_of(session) if session else None,
    )
    kinds = {type(found) for found in rule.filters}
    if Redirect in kinds and rule.backends:
        item.problem("filters", "RequestRedirect filter must not be used together with backendRefs")
    _check_prefix_modifiers(item, rule)
    item.done()
    return rule


def _check_prefix_modifiers(item: Fields, rule: RouteRule) -> None:
    """replacePrefixMatch needs a prefix to replace."""
    applied = (*rule.filters, *(each for backend in rule.backends for each in backend.filters))
    replaces = any(
        isinstance(found, Redirect | Rewrite) and found.path is not None and found.path.prefix is not None
        for found in applied
    )
    if replaces and [match.path.type for match in rule.matches] != [PathType.PREFIX]:
        item.problem("filters", "with replacePrefixMatch, exactly one PathPrefix match must be specified")


def _match(item: Fields) -> RouteMatch:
    path = item.child("path")
    match = RouteMatch(
        path=_path(path) if path else PathMatch(),
        headers=value_matches(item, "headers"),
        query=value_matches(item, "queryParams"),
        method=item.choice("method", METHODS, ""),
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


def _backend(meta: Meta, item: Fields) -> BackendRef:
    weight = item.integer("weight", 0, MAX_WEIGHT, 1)
    backend = backend_of(meta, item, 1 if weight is None else weight, filters_of(meta, item))
    if not backend.is_bare:  # which may be a pool
        check_port(item, backend)
    item.done()
    return backend
