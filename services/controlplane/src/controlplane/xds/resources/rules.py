"""One entry of a plan as one route of Envoy: its match, its backends by weight, and their pickers. Pure."""

from collections.abc import Iterator
from typing import Final

from controlplane.plan.entries import Backend, Entry, ServicePortRef, VirtualHost
from controlplane.plan.pickers import Picker, goes_in_turn
from controlplane.plan.shares import mirror_name
from controlplane.xds.resources import (
    cors,
    modifiers,
    names,
    persistence,
    picker_filters,
    protection,
    rate_limits,
    retries,
    usage,
    websockets,
)
from controlplane.xds.resources.administration import closed
from controlplane.xds.resources.matches import match
from controlplane.xds.resources.names import Tree, seconds
from controlplane.xds.resources.scope import Scope
from gateway.kube.objects import InferencePool, Mirror, Redirect, RouteMatch

UPLOAD_IDLE_TIMEOUT: Final = "10s"  # how long an upload may be silent


def routes(entry: Entry, host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    """The route of an entry, behind the one for its preflights where it needs one; nothing where it could match
    nothing."""
    wanted = scope.lifting.match(entry.match)
    if wanted is not None:
        for preflight in cors.preflights(entry):
            yield modifiers.with_filters(preflight, protection.on_preflight(host))
        checked = protection.on_route(entry, host)
        route = modifiers.with_filters(_route(entry, wanted, scope), persistence.settings(entry) | checked)
        if checked:
            route = modifiers.merged_headers(protection.headers(entry.protection), route) | route
        route = cors.with_settings(route, cors.rule(entry))
        if websockets.opens(entry) and route["name"] == entry.name and "route" in route:
            yield websockets.route(route)
        yield route


def _route(entry: Entry, wanted: RouteMatch, scope: Scope) -> Tree:
    if entry.is_restricted:
        return absent(names.RESTRICTED, match(wanted), "INTERNAL_SERVER_ERROR")
    if entry.is_refused:
        return absent(names.INVALID_FILTER, match(wanted), "INTERNAL_SERVER_ERROR")
    found: Tree = {"name": entry.name, "match": _match(entry, wanted), **modifiers.headers(entry.rule.filters)}
    redirect = next((item for item in entry.rule.filters if isinstance(item, Redirect)), None)
    if redirect is not None:
        return {**found, "redirect": modifiers.redirect(redirect, entry.match.path)}
    weighted = [backend for backend in entry.backends if backend.weight > 0]
    if not weighted or all(backend.is_refused for backend in weighted):
        return absent(names.INVALID_BACKEND, match(wanted), "INTERNAL_SERVER_ERROR")
    action = {
        **_action(entry, scope),
        **modifiers.rewrite(entry.rule.filters, entry.match.path),
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }
    if len(weighted) == 1:
        share = _share(weighted[0], entry, scope)
        return {**modifiers.merged_headers(found, share), "route": {**action, "cluster": share.pop("name")}, **share}
    action["weighted_clusters"] = {
        "clusters": [{**_share(backend, entry, scope), "weight": backend.weight} for backend in weighted]
    }
    return {**found, "route": action}


def _match(entry: Entry, wanted: RouteMatch) -> Tree:
    leads_to_pool = any(isinstance(backend.target, InferencePool) for backend in entry.backends)
    return closed(match(wanted), wanted.path) if leads_to_pool else match(wanted)


def _share(backend: Backend, entry: Entry, scope: Scope) -> Tree:
    """A backend as an entry of weighted_clusters: its cluster, header changes and filter settings of its own."""
    share: Tree = {"name": cluster_name(backend), **modifiers.headers(backend.filters)}
    settings = {} if backend.is_refused else _settings(backend, entry, scope)
    return {**share, "typed_per_filter_config": settings} if settings else share


def _settings(backend: Backend, entry: Entry, scope: Scope) -> Tree:
    """What filters do for a backend: check quotas, ask its picker, read its answers, and count what they cost."""
    picker = scope.pickers.get(backend.target.meta.id) if isinstance(backend.target, InferencePool) else None
    costs = usage.costs_on_route(entry.costs) if scope.options.usage_extraction else {}
    limits: Tree = {}
    if scope.quotas is not None and _is_for_models(entry, backend):
        limits = rate_limits.on_route(scope.quotas, backend, scope.options)
    if picker is None or not isinstance(backend.target, InferencePool):
        is_read = costs or (scope.options.usage_extraction and (limits or _goes_in_turn(backend)))
        return limits | costs | (usage.on_route(scope.options) if is_read else {})
    question = picker_filters.Question(
        pools=(backend.target.meta.id,),
        further=retries.wanted(entry.rule.retry),
        lower=len(backend.lower),
        is_followed=backend.is_followed,
        first_token=_first_token(entry),
    )
    return limits | pool_filters(picker, question, scope) | costs


def _goes_in_turn(backend: Backend) -> bool:
    """Whether its requests are compared with those of a picker, by what the access log has of both."""
    return isinstance(backend.target, InferencePool) and goes_in_turn(backend.target)


def _is_for_models(entry: Entry, backend: Backend) -> bool:
    """Whether requests ask for a model. A plain Service may be anything."""
    is_named = entry.route.costs is not None or backend.ai_backend is not None
    return is_named or isinstance(backend.target, InferencePool)


def _first_token(entry: Entry) -> float | None:
    """Within how many seconds streamed answers must have begun: no later than any answer's head."""
    limit, attempt = entry.route.meta.first_token, entry.rule.timeouts.backend_request
    return min((each for each in (limit, attempt) if each), default=None)


def cluster_name(backend: Backend) -> str:
    """The cluster of a backend; one that leads nowhere has an absent one, which is a 500."""
    if backend.target is None or backend.is_refused:
        return names.ABSENT_CLUSTER
    if backend.own:
        return names.share_cluster(backend.own)
    if isinstance(backend.target, InferencePool):
        return names.pool_cluster(backend.target.meta.id)
    return names.service_cluster(backend.target.id, backend.target.port)


def pool_filters(picker: Picker, question: picker_filters.Question, scope: Scope) -> Tree:
    """Asks the picker, and lets Envoy read usage from answers."""
    filters = picker_filters.on_route(picker, question, scope.options)
    if scope.options.usage_extraction:
        filters |= usage.on_route(scope.options)
    return filters


def _action(entry: Entry, scope: Scope) -> Tree:
    action: Tree = {
        "timeout": seconds(entry.rule.timeouts.request or 0.0),
        "idle_timeout": seconds(scope.options.stream_idle_timeout),
        **retries.on_route(entry),
    }
    mirrors = [_mirror(found.copy, found.target) for found in entry.mirrors if found.target is not None]
    return {**action, "request_mirror_policies": mirrors} if mirrors else action


def _mirror(copy: Mirror, target: InferencePool | ServicePortRef) -> Tree:
    millionths = round(copy.numerator * 1_000_000 / copy.denominator)
    if isinstance(target, InferencePool):
        cluster = names.share_cluster(mirror_name(target.meta.id))
    else:
        cluster = names.service_cluster(target.id, target.port)
    return {
        "cluster": cluster,
        "runtime_fraction": {"default_value": {"numerator": millionths, "denominator": "MILLION"}},
    }


def absent(name: str, wanted: Tree, code: str) -> Tree:
    """A route to a cluster that does not exist: Envoy answers with `code` after the filters have run."""
    return {
        "name": name,
        "match": wanted,
        "route": {"cluster": names.ABSENT_CLUSTER, "cluster_not_found_response_code": code},
    }


def miss(name: str, wanted: Tree) -> Tree:
    """A route that only says what is missing. A request whose model is still to be read has such a one until its body
    is there; the route that it takes then has the time of an answer."""
    route = absent(name, wanted, "NOT_FOUND")
    action = route["route"]
    assert isinstance(action, dict)
    return {**route, "route": {**action, "idle_timeout": UPLOAD_IDLE_TIMEOUT}}
