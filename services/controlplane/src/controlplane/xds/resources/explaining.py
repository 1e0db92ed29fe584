"""Routes that no object asked for: they explain a miss, list the models, or pass on a picker's verdict. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from controlplane.options import PickerTransport
from controlplane.plan.entries import Entry, VirtualHost
from controlplane.plan.lifting import MODEL_HEADERS, Lift, by_model_header, is_met
from controlplane.plan.pickers import Picker
from controlplane.xds.resources import cors, matches, modifiers, names, picker_filters, protection, unread
from controlplane.xds.resources.administration import closed
from controlplane.xds.resources.names import Tree, seconds
from controlplane.xds.resources.picker_filters import Question
from controlplane.xds.resources.rules import absent, miss, pool_filters
from controlplane.xds.resources.scope import Scope
from gateway.kube.objects import FailureMode, InferencePool, ObjectName, PathMatch, PathType, RouteMatch, ValueMatch
from gateway.wire import protocol
from gateway.wire.errors import ErrorCode

MODELS_PATH: Final = "/v1/models"
MODELS_PATHS: Final = "/v1/models(/.*)?"  # also of one model, and with a slash at the end
_READS: Final[Tree] = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}


def verdicts() -> list[Tree]:
    """Ahead of everything: an answer of the HTTP transport that is no pick. Only a picker can set this header."""
    internal = {"name": protocol.VERDICT, "string_match": {"exact": ErrorCode.INTERNAL.value}}
    other = {"name": protocol.VERDICT, "present_match": True}
    return [
        absent(names.PICKER_FAILED, {"prefix": "/", "headers": [internal]}, "INTERNAL_SERVER_ERROR"),
        absent(names.PICKER_REFUSED, {"prefix": "/", "headers": [other]}, "SERVICE_UNAVAILABLE"),
    ]


def misses(host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    """On every path that some rule exposes for certain models only: a model that no rule names, then a POST without
    one. Other requests are simply not routed."""
    by_path = cors.by_path(host)
    paths = {entry.match.path: None for entry in host.entries if by_model_header(entry)}
    check = _body_check(host, scope) if paths else {}
    for path in paths:
        yield from _misses_on(path, cors.settings(by_path.get(path)) | check)


def _body_check(host: VirtualHost, scope: Scope) -> Tree:
    """Where Envoy lifts the model, it does not say what is wrong with a body; a picker does."""
    pickers = pools_by_picker(host.pools, scope) if scope.lifting.lift is Lift.SCRIPT else []
    return picker_filters.on_miss(pickers[0][0], scope.options) if pickers else {}


def _misses_on(path: PathMatch, checked: Tree) -> Iterator[Tree]:
    model = {"name": protocol.MODEL_NAME, "string_match": {"safe_regex": {"regex": ".+"}}}
    post = {"name": ":method", "string_match": {"exact": "POST"}}
    settings = {"typed_per_filter_config": checked} if checked else {}
    for name, header in ((names.MODEL_NOT_FOUND, model), (names.MODEL_MISSING, post)):
        wanted = closed({**matches.path(path), "headers": [header]}, path)
        yield {**miss(name, wanted), **settings}
    yield miss(names.ROUTE_NOT_FOUND, closed(matches.path(path), path))  # until the model is lifted, of any method


def pools_by_picker(pools: Iterable[InferencePool], scope: Scope) -> list[tuple[Picker, tuple[ObjectName, ...]]]:
    """The pickers of these pools with those that share them, the most shared first."""
    grouped: dict[str, dict[ObjectName, Picker]] = {}
    for pool in pools:
        picker = scope.pickers.get(pool.meta.id)
        if picker is not None:
            grouped.setdefault(names.picker_cluster(picker), {})[pool.meta.id] = picker
    found = [(next(iter(sharing.values())), tuple(sorted(sharing))) for sharing in grouped.values()]
    return sorted(found, key=lambda item: -len(item[1]))


def unrouted() -> Tree:
    """What no rule serves is answered at once."""
    return {**miss(names.ROUTE_NOT_FOUND, {"prefix": "/"}), "typed_per_filter_config": unread.settings()}


def models(host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    """GET /v1/models and /v1/models/ID, answered for all pools of the host by the picker that most of them share:
    pickers that follow the same objects know every pool. Nothing where a route serves the list."""
    shared = pools_by_picker(host.shown_pools, scope)
    if not shared or any(matches.serves(entry.match, MODELS_PATH) for entry in host.entries):
        return
    allowed = cors.on_host(host)
    if allowed is not None:
        preflight = cors.preflight(names.MODELS, RouteMatch(PathMatch(PathType.REGEX, MODELS_PATHS)), allowed)
        yield modifiers.with_filters(preflight, protection.on_preflight(host))
    yield cors.with_settings(_options(), allowed)
    pools = sorted(pool for _, found in shared for pool in found)
    route = _models(shared[0][0], pools, scope)
    known = _known(host, scope.lifting.base_models)
    if known:
        listed = {"filter_metadata": {names.CLUSTER_METADATA: {names.MODELS_METADATA: known}}}
        everybody = {"name": protocol.ALLOWED_MODELS, "present_match": True, "invert_match": True}
        whole = {**matches.path(PathMatch(PathType.REGEX, f"{MODELS_PATH}/?")), "headers": [_READS, everybody]}
        yield cors.with_settings({**route, "name": names.KNOWN_MODELS, "match": whole, "metadata": listed}, allowed)
    yield cors.with_settings(route, allowed)


def _known(host: VirtualHost, base_models: Mapping[str, str]) -> str:
    """The list of the models that objects name for pools that serve without a picker: those of rules, and base models
    and adapters that rules lead to these pools. Empty where there is none."""
    opening = [entry for entry in host.shown if not entry.is_refused and _opens(entry)]
    wanted = {tuple(header for header in entry.match.headers if header.name in MODEL_HEADERS) for entry in opening}
    found = {header.value for headers in wanted for header in headers if not header.regex}
    found |= {name for name, base in base_models.items() if any(_leads(headers, name, base) for headers in wanted)}
    data = [{"id": model, "object": "model"} for model in sorted(found)]
    return json.dumps({"object": "list", "data": data}) if data else ""


def _leads(headers: Sequence[ValueMatch], model: str, base: str) -> bool:
    return all(is_met(header, base if header.name == protocol.BASE_MODEL_NAME else model) for header in headers)


def _opens(entry: Entry) -> bool:
    targets = (backend.target for backend in entry.backends)
    pickers = (pool.picker for pool in targets if isinstance(pool, InferencePool))
    return any(picker is not None and picker.failure_mode is FailureMode.OPEN for picker in pickers)


def health(host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    """GET /health, which is well when the picker places a request for any of its pools of the host: it is asked as by
    any other. Nothing where a route serves the path."""
    shared = pools_by_picker(host.shown_pools, scope)
    if not shared or any(matches.serves(entry.match, protocol.GATEWAY_HEALTH_PATH) for entry in host.entries):
        return
    picker, pools = shared[0]
    found: Tree = {"name": names.HEALTH, "match": {"path": protocol.GATEWAY_HEALTH_PATH, "headers": [_READS]}}
    if picker.transport is PickerTransport.HTTP:  # the picker's own word, since ext_authz lets pass without one
        marked = modifiers.header(protocol.PICKER_HEALTH, "true", "OVERWRITE_IF_EXISTS_OR_ADD")
        route = {"cluster": names.picker_http_cluster(picker), "timeout": seconds(scope.options.picker_timeout)}
        yield {**found, "request_headers_to_add": [marked], "route": route}
        return
    settings = picker_filters.on_probe(picker, pools, scope.options)
    yield {**found, "direct_response": {"status": 200}, "typed_per_filter_config": settings}


def _options() -> Tree:
    """What may be asked of the list; Envoy says so itself."""
    method = {"name": ":method", "string_match": {"exact": "OPTIONS"}}
    return {
        "name": f"{names.MODELS}/options",
        "match": {**matches.path(PathMatch(PathType.REGEX, MODELS_PATHS)), "headers": [method]},
        "direct_response": {"status": 204},
        "response_headers_to_add": [modifiers.header("allow", "GET, HEAD, OPTIONS", "OVERWRITE_IF_EXISTS_OR_ADD")],
    }


def _models(picker: Picker, pools: Sequence[ObjectName], scope: Scope) -> Tree:
    wanted: Tree = {**matches.path(PathMatch(PathType.REGEX, MODELS_PATHS)), "headers": [_READS]}
    if picker.transport is PickerTransport.HTTP:
        return _models_over_http(wanted, picker, pools, scope)
    route = absent(names.MODELS, wanted, "SERVICE_UNAVAILABLE")
    return {**route, "typed_per_filter_config": pool_filters(picker, Question(pools, 0), scope)}


def _models_over_http(wanted: Tree, picker: Picker, pools: Sequence[ObjectName], scope: Scope) -> Tree:
    """The request goes to the picker itself, since ext_authz can only let pass or refuse."""
    listed = ",".join(str(pool) for pool in pools)
    listing = modifiers.header(protocol.POOL_METADATA, listed, "OVERWRITE_IF_EXISTS_OR_ADD")
    route = {"cluster": names.picker_http_cluster(picker), "timeout": seconds(scope.options.picker_timeout)}
    return {"name": names.MODELS, "match": wanted, "request_headers_to_add": [listing], "route": route}
