"""Listeners within Envoy, through which a pool takes over and is picked by its own picker. Pure.

A request comes here from a cluster of its route, checked and with its model known. Its limits in time are there.
"""

from collections.abc import Sequence

from controlplane.options import Options
from controlplane.plan.pickers import Picker
from controlplane.xds.resources import names, picker_filters, usage
from controlplane.xds.resources.access_logs import HEARTBEATS, picker_logs
from controlplane.xds.resources.client_headers import without_earlier_pick
from controlplane.xds.resources.listeners import router
from controlplane.xds.resources.names import Tree, seconds, typed
from controlplane.xds.resources.replies import local_reply_config
from controlplane.xds.resources.sources import config_source


def takeover_listener(takeover: str, routes: str, pickers: Sequence[Picker], options: Options) -> Tree:
    """The listener of one pool that takes over."""
    name = names.takeover(takeover)
    reads = usage.filters() if options.usage_extraction else []
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        rds={"route_config_name": routes, "config_source": config_source(names.ROUTES_TYPE, routes, options)},
        skip_xff_append=True,
        preserve_external_request_id=True,
        stream_idle_timeout=seconds(options.stream_idle_timeout),
        delayed_close_timeout="0.1s",
        early_header_mutation_extensions=[without_earlier_pick()],
        http_filters=[*picker_filters.filters(pickers, options), *reads, router(pickers, options)],
        local_reply_config=local_reply_config(),
        access_log=picker_logs(pickers, options),
        access_log_options=HEARTBEATS,
    )
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return names.resource(names.LISTENER_TYPE, name=name, internal_listener={}, filter_chains=[{"filters": filters}])
