"""Routes by the id of a stored response or conversation, where no rule of the host can choose. Pure.

Retrieving and cancelling name an id and no model, so rules by model cannot match them. The picker that the pools share
knows which server keeps the id. Its answer names that server, and of several pools any one is reached at the address in
the answer; with one pool the request takes the pool's own way.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from controlplane.plan.entries import Entry, VirtualHost
from controlplane.plan.lifting import by_model_header
from controlplane.xds.resources import cors, matches, modifiers, names, picker_filters, protection, upstream
from controlplane.xds.resources.explaining import pools_by_picker
from controlplane.xds.resources.names import Tree, seconds
from controlplane.xds.resources.scope import Scope
from gateway.kube.objects import InferencePool, ObjectName, PathMatch, PathType, RouteMatch
from gateway.wire import protocol

PATHS: Final = "/v1/(responses|conversations)/[^/]+(/.*)?"
_SAMPLE: Final = "/v1/responses/id"


def routes(host: VirtualHost, scope: Scope) -> Iterator[Tree]:
    """Nothing where a rule serves these paths without a model, or none does with one."""
    reached = _reached(host, scope)
    if not reached:
        return
    allowed = cors.on_host(host)
    if allowed is not None:
        preflight = cors.preflight(names.STORED, RouteMatch(PathMatch(PathType.REGEX, PATHS)), allowed)
        yield modifiers.with_filters(preflight, protection.on_preflight(host))
    route = _route(reached, scope)
    settings = picker_filters.on_route(scope.pickers[reached[0]], picker_filters.Question(reached, 0), scope.options)
    yield cors.with_settings({**route, "typed_per_filter_config": settings}, allowed)


def need_cluster(hosts: Iterable[VirtualHost], scope: Scope) -> bool:
    """Whether a host's route leads to any of several pools."""
    return any(len(_reached(host, scope)) > 1 for host in hosts)


def cluster() -> Tree:
    """Any server of the pools: the one whose address the picker wrote. No client can write that header."""
    return names.resource(
        names.CLUSTER_TYPE,
        name=names.STORED_CLUSTER,
        type="ORIGINAL_DST",
        lb_policy="CLUSTER_PROVIDED",
        connect_timeout="0.5s",
        original_dst_lb_config={"use_http_header": True, "http_header_name": protocol.DESTINATION_ENDPOINT},
        typed_extension_protocol_options=upstream.http1({"idle_timeout": upstream.UPSTREAM_IDLE_TIMEOUT}),
    )


def _reached(host: VirtualHost, scope: Scope) -> tuple[ObjectName, ...]:
    """The pools among which the picker looks: all of one picker. One of several must take requests as they are."""
    if any(matches.serves(entry.match, _SAMPLE) for entry in host.entries):
        return ()
    pools = {pool.meta.id: pool for entry in host.shown if _exposes(entry) for pool in _pools(entry)}
    shared = pools_by_picker(pools.values(), scope)
    listed = shared[0][1] if shared else ()
    return listed if len(listed) == 1 else tuple(pool for pool in listed if pool in scope.plain)


def _exposes(entry: Entry) -> bool:
    return by_model_header(entry) and matches.covers(entry.match.path, _SAMPLE)


def _pools(entry: Entry) -> Iterator[InferencePool]:
    targets = () if entry.is_refused else (each.target for each in entry.backends)
    return (target for target in targets if isinstance(target, InferencePool))


def _route(pools: tuple[ObjectName, ...], scope: Scope) -> Tree:
    no_model = {"name": protocol.MODEL_NAME, "present_match": True, "invert_match": True}
    reached = names.pool_cluster(pools[0]) if len(pools) == 1 else names.STORED_CLUSTER
    return {
        "name": names.STORED,
        "match": {**matches.path(PathMatch(PathType.REGEX, PATHS)), "headers": [no_model]},
        "route": {"cluster": reached, "timeout": "0s", "idle_timeout": seconds(scope.options.stream_idle_timeout)},
    }
