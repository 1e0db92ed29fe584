"""Envoy's route configuration: the plan's virtual hosts and entries, and the routes that explain a miss. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane import asking, hosts, names, usage
from controlplane.lifting import Lift, Lifting, by_model_header
from controlplane.names import Tree, seconds, typed
from controlplane.options import Options, PickerTransport
from controlplane.pickers import Picker
from controlplane.plan import Backend, Entry, Port, VirtualHost
from gateway.kube.objects import (
    FilterType,
    HeaderModifier,
    InferencePool,
    Mirror,
    ObjectName,
    PathMatch,
    PathType,
    Redirect,
    Rewrite,
    RouteFilter,
    RouteMatch,
    ValueMatch,
)
from gateway.wire import protocol
from gateway.wire.errors import ErrorCode

MODELS_PATH: Final = "/v1/models"
_REDIRECT_CODES: Final = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
# Walks the picker's list: each attempt takes the next entry, and none goes to a host that has already failed. 503 is
# what a model server says that is starting or full. An attempt that may have begun to generate is not repeated.
RETRIES: Final = 2  # a second and a third endpoint; the picker is asked for as many
RETRY_POLICY: Final[Tree] = {
    "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-status-codes",
    "retriable_status_codes": [503],
    "num_retries": RETRIES,
    "host_selection_retry_max_attempts": 4,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What all routes of a listener share; `name` is that of their configuration."""

    name: str
    pickers: Mapping[ObjectName, Picker]
    lifting: Lifting
    options: Options


def route_configuration(port: Port, scope: Scope) -> Tree:
    """Everything that one Envoy listener routes."""
    served = {host.hostname: host for host in port.hosts}
    served.setdefault("", VirtualHost("", ()))  # every other host: 404 in the right shape
    return typed(
        names.ROUTES_TYPE,
        name=scope.name,
        ignore_port_in_host_matching=True,
        validate_clusters=False,
        virtual_hosts=[_virtual_host(host, scope) for host in served.values()],
    )


def _virtual_host(host: VirtualHost, scope: Scope) -> Tree:
    routes = _verdicts() if asking.on_host(_host_pickers(host, scope)) else []
    models = _models_route(host, scope)
    routes += [models] if models else []
    routes += [route for entry in host.entries if (route := _route(entry, scope))]
    routes += [route for path in _model_paths(host) for route in _explaining(path, host, scope)]
    routes.append(_absent(names.ROUTE_NOT_FOUND, {"prefix": "/"}, "NOT_FOUND"))
    filters = asking.on_host(_host_pickers(host, scope))
    return {
        "name": hosts.domain(host.hostname),
        "domains": [hosts.domain(host.hostname)],
        "request_body_buffer_limit": scope.options.body_limit,
        **({"typed_per_filter_config": filters} if filters else {}),
        "routes": routes,
    }


def _host_pickers(host: VirtualHost, scope: Scope) -> list[Picker]:
    targets = (backend.target for entry in host.entries for backend in entry.backends)
    pools = (target.meta.id for target in targets if isinstance(target, InferencePool))
    return [scope.pickers[pool] for pool in dict.fromkeys(pools) if pool in scope.pickers]


# --- One entry -------------------------------------------------------------------------------------------------------


def _route(entry: Entry, scope: Scope) -> Tree | None:
    wanted = scope.lifting.match(entry.match)
    if wanted is None:
        return None
    route: Tree = {"name": entry.name, "match": match(wanted), **_headers(entry.rule.filters)}
    redirect = next((found for found in entry.rule.filters if isinstance(found, Redirect)), None)
    if redirect is not None:
        return {**route, "redirect": _redirect(redirect, entry.match.path)}
    weighted = [backend for backend in entry.backends if backend.weight > 0]
    if not weighted or all(backend.target is None for backend in weighted):
        return {**_absent(names.INVALID_BACKEND, match(wanted), "INTERNAL_SERVER_ERROR")}
    action = {
        **_action(entry),
        **_rewrite(entry.rule.filters, entry.match.path),
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }
    if len(weighted) == 1:
        share = _share(weighted[0], scope)
        return {**_merged_headers(route, share), "route": {**action, "cluster": share.pop("name")}, **share}
    action["weighted_clusters"] = {
        "clusters": [{**_share(backend, scope), "weight": backend.weight} for backend in weighted]
    }
    return {**route, "route": action}


def _share(backend: Backend, scope: Scope) -> Tree:
    """A backend as an entry of weighted_clusters: its cluster, header changes and filter settings of its own."""
    filters: Tree = {}
    if isinstance(backend.target, InferencePool):
        picker = scope.pickers.get(backend.target.meta.id)
        filters = _pool_filters(picker, (backend.target.meta.id,), scope) if picker else {}
    return {
        "name": cluster_name(backend),
        **_headers(backend.filters),
        **({"typed_per_filter_config": filters} if filters else {}),
    }


def cluster_name(backend: Backend) -> str:
    """The cluster of a backend; one that leads nowhere has an absent one, which is a 500."""
    match backend.target:
        case InferencePool() as pool:
            return names.pool_cluster(pool.meta.id)
        case None:
            return names.ABSENT_CLUSTER
        case service:
            return names.service_cluster(service.id, service.port)


def _pool_filters(picker: Picker, pools: Sequence[ObjectName], scope: Scope) -> Tree:
    """Asks the picker, and lets Envoy read usage from answers."""
    filters = asking.on_route(picker, pools, RETRIES, scope.options)
    if scope.options.usage_extraction:
        filters |= usage.on_route(scope.options)
    return filters


def _action(entry: Entry) -> Tree:
    timeouts = entry.rule.timeouts
    action: Tree = {"timeout": seconds(timeouts.request or 0.0), "retry_policy": RETRY_POLICY}
    if timeouts.backend_request:
        action["retry_policy"] = {**RETRY_POLICY, "per_try_timeout": seconds(timeouts.backend_request)}
    mirrors = [found for found in entry.rule.filters if isinstance(found, Mirror) and found.backend.is_service]
    if mirrors:
        action["request_mirror_policies"] = [_mirror(found) for found in mirrors]
    return action


def _mirror(mirror: Mirror) -> Tree:
    millionths = round(mirror.numerator * 1_000_000 / mirror.denominator)
    return {
        "cluster": names.service_cluster(mirror.backend.id, mirror.backend.port or 0),
        "runtime_fraction": {"default_value": {"numerator": millionths, "denominator": "MILLION"}},
    }


def _merged_headers(route: Tree, share: Tree) -> Tree:
    """A lone backend's header changes come after its rule's, as they do with several."""
    merged = dict(route)
    for key in (
        "request_headers_to_add",
        "response_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_remove",
    ):
        own = share.pop(key, [])
        before = merged.get(key, [])
        assert isinstance(own, list)
        assert isinstance(before, list)
        if own or before:
            merged[key] = [*before, *own]
    return merged


# --- Matches ---------------------------------------------------------------------------------------------------------


def match(wanted: RouteMatch) -> Tree:
    """A RouteMatch in Envoy's words. A path prefix ends at a slash: /v1 matches /v1/models and not /v1x."""
    headers = [_value(header) for header in wanted.headers]
    if wanted.method:
        headers.append({"name": ":method", "string_match": {"exact": wanted.method}})
    result: Tree = _path(wanted.path)
    if headers:
        result["headers"] = headers
    if wanted.query:
        result["query_parameters"] = [_value(item) for item in wanted.query]
    return result


def _path(path: PathMatch) -> Tree:
    match path.type:
        case PathType.EXACT:
            return {"path": path.value}
        case PathType.REGEX:
            return {"safe_regex": {"regex": path.value}}
        case PathType.PREFIX:
            prefix = path.value.rstrip("/")
            return {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}


def _value(wanted: ValueMatch) -> Tree:
    matcher = {"safe_regex": {"regex": wanted.value}} if wanted.regex else {"exact": wanted.value}
    return {"name": wanted.name, "string_match": matcher}


# --- Filters ---------------------------------------------------------------------------------------------------------


def _headers(filters: tuple[RouteFilter, ...]) -> Tree:
    result: Tree = {}
    for found in filters:
        if not isinstance(found, HeaderModifier):
            continue
        side = "request" if found.type is FilterType.REQUEST_HEADERS else "response"
        written = [_header(key, value, "OVERWRITE_IF_EXISTS_OR_ADD") for key, value in found.set]
        written += [_header(key, value, "APPEND_IF_EXISTS_OR_ADD") for key, value in found.add]
        if written:
            result[f"{side}_headers_to_add"] = written
        if found.remove:
            result[f"{side}_headers_to_remove"] = list(found.remove)
    return result


def _header(key: str, value: str, action: str) -> Tree:
    """A percent sign would start one of Envoy's format commands."""
    return {"header": {"key": key, "value": value.replace("%", "%%")}, "append_action": action}


def _rewrite(filters: tuple[RouteFilter, ...], path: PathMatch) -> Tree:
    rewrite = next((found for found in filters if isinstance(found, Rewrite)), None)
    if rewrite is None:
        return {}
    result: Tree = {"host_rewrite_literal": rewrite.hostname} if rewrite.hostname else {}
    if rewrite.path is None:
        return result
    if rewrite.path.full is not None:
        result["regex_rewrite"] = _regex_rewrite(r"^/[^?]*", rewrite.path.full)
    elif rewrite.path.prefix is not None:
        result.update(_prefix_rewrite(path, rewrite.path.prefix))
    return result


def _prefix_rewrite(path: PathMatch, replacement: str) -> Tree:
    """Replacing `/a` by `/` must turn `/a/b` into `/b`, not `//b`."""
    shown = "/" + replacement.strip("/")
    if shown == "/":
        return {"regex_rewrite": _regex_rewrite(f"^{re.escape(path.value.rstrip('/'))}/*", "/")}
    return {"prefix_rewrite": shown if path.value.rstrip("/") else f"{shown}/"}


def _regex_rewrite(pattern: str, substitution: str) -> Tree:
    return {"pattern": {"regex": pattern}, "substitution": substitution.replace("\\", "\\\\")}


def _redirect(redirect: Redirect, path: PathMatch) -> Tree:
    result: Tree = {"response_code": _REDIRECT_CODES[redirect.status]}
    if redirect.scheme:
        result["scheme_redirect"] = redirect.scheme
    if redirect.hostname:
        result["host_redirect"] = redirect.hostname
    if redirect.port:
        result["port_redirect"] = redirect.port
    if redirect.path is not None and redirect.path.full is not None:
        result["path_redirect"] = redirect.path.full
    elif redirect.path is not None and redirect.path.prefix is not None:
        result.update(_prefix_rewrite(path, redirect.path.prefix))
    return result


# --- Routes that explain ---------------------------------------------------------------------------------------------


def _absent(name: str, wanted: Tree, code: str) -> Tree:
    return {
        "name": name,
        "match": wanted,
        "route": {"cluster": names.ABSENT_CLUSTER, "cluster_not_found_response_code": code},
    }


def _verdicts() -> list[Tree]:
    """Ahead of everything: an answer of the HTTP door that is no pick. Only a picker can set this header."""
    internal = {"name": protocol.VERDICT, "string_match": {"exact": ErrorCode.INTERNAL.value}}
    other = {"name": protocol.VERDICT, "present_match": True}
    return [
        _absent(names.PICKER_FAILED, {"prefix": "/", "headers": [internal]}, "INTERNAL_SERVER_ERROR"),
        _absent(names.PICKER_REFUSED, {"prefix": "/", "headers": [other]}, "SERVICE_UNAVAILABLE"),
    ]


def _model_paths(host: VirtualHost) -> Iterator[PathMatch]:
    """Every path that some rule exposes for certain models only."""
    return iter({entry.match.path: None for entry in host.entries if by_model_header(entry)})


def _explaining(path: PathMatch, host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    """On such a path: a model that no rule names, then a POST without one. Other requests are simply not routed."""
    model = {"name": protocol.MODEL_NAME, "string_match": {"safe_regex": {"regex": ".+"}}}
    post = {"name": ":method", "string_match": {"exact": "POST"}}
    checked: Tree = {}
    if scope.lifting.lift is Lift.SCRIPT:  # Envoy does not say what is wrong with a body; the picker does
        picker, _ = _pools_by_picker(host, scope)[0]
        checked = {"typed_per_filter_config": asking.on_miss(picker, scope.options)}
    yield {**_absent(names.MODEL_NOT_FOUND, {**_path(path), "headers": [model]}, "NOT_FOUND"), **checked}
    yield {**_absent(names.MODEL_MISSING, {**_path(path), "headers": [post]}, "NOT_FOUND"), **checked}


def _pools_by_picker(host: VirtualHost, scope: Scope) -> list[tuple[Picker, tuple[ObjectName, ...]]]:
    """The pickers of a host with the pools that share them, the most shared first."""
    asked: dict[str, dict[ObjectName, Picker]] = {}
    for entry in host.entries:
        for backend in entry.backends:
            pool = backend.target
            if isinstance(pool, InferencePool) and pool.meta.id in scope.pickers:
                picker = scope.pickers[pool.meta.id]
                asked.setdefault(picker.cluster, {})[pool.meta.id] = picker
    found = [(next(iter(pools.values())), tuple(sorted(pools))) for pools in asked.values()]
    return sorted(found, key=lambda item: -len(item[1]))


def _models_route(host: VirtualHost, scope: Scope) -> Tree | None:
    """GET /v1/models, answered by the picker that most of the host's pools share; None where a route serves it."""
    shared = _pools_by_picker(host, scope)
    if not shared or any(_serves_models(entry.match) for entry in host.entries):
        return None
    picker, pools = shared[0]
    method = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    wanted: Tree = {"path": MODELS_PATH, "headers": [method]}
    if picker.transport is PickerTransport.HTTP:  # ext_authz can only let pass or refuse: the door itself answers
        asked = _header(protocol.POOL_METADATA, ",".join(str(pool) for pool in pools), "OVERWRITE_IF_EXISTS_OR_ADD")
        route = {"cluster": picker.http_cluster, "timeout": seconds(scope.options.picker_timeout)}
        return {"name": names.MODELS, "match": wanted, "request_headers_to_add": [asked], "route": route}
    absent = _absent(names.MODELS, wanted, "SERVICE_UNAVAILABLE")
    return {**absent, "typed_per_filter_config": _pool_filters(picker, pools, scope)}


def _serves_models(wanted: RouteMatch) -> bool:
    if wanted.headers or wanted.query or wanted.method not in ("", "GET"):
        return False
    value = wanted.path.value
    match wanted.path.type:
        case PathType.EXACT:
            return value == MODELS_PATH
        case PathType.PREFIX:
            return f"{MODELS_PATH}/".startswith(f"{value.rstrip('/')}/")
        case PathType.REGEX:
            return re.fullmatch(value, MODELS_PATH) is not None
