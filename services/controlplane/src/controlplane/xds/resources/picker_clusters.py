"""Envoy's clusters of endpoint pickers, for either transport. Pure."""

from controlplane.options import Options
from controlplane.plan.pickers import Picker
from controlplane.xds.resources import names
from controlplane.xds.resources.clusters import by_eds
from controlplane.xds.resources.names import Tree, seconds
from controlplane.xds.resources.tls import tls
from controlplane.xds.resources.upstream import RAISED_LIMIT, grpc, processor, protocol_options
from gateway.wire import protocol


def picker_cluster(picker: Picker, options: Options) -> Tree:
    """The picker's gRPC port. Health checks take a dead replica out before a request waits for it."""
    limit = picker.policy.max_requests or RAISED_LIMIT
    timeout = picker.policy.connect_timeout or 0.5
    socket = tls(picker.tls, ("h2",), options) if picker.tls else None
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.picker_cluster(picker), options),
        connect_timeout=seconds(timeout),
        **grpc(limit, options.picker_timeout),
        **({"transport_socket": socket} if socket else {}),
    )


def picker_http_cluster(picker: Picker, options: Options) -> Tree:
    """The picker's HTTP port. Every path of it belongs to clients, so a health check carries a mark."""
    marked = {"header": {"key": protocol.PICKER_HEALTH, "value": "true"}}
    request = {"path": "/", "host": picker.hostname, "request_headers_to_add": [marked]}
    # A check that fails ends the questions in the picker's queue, so it has as long as a question: one that is slow and
    # answers in time is not dead.
    timing = {"timeout": seconds(options.picker_timeout), "interval": "1s"}
    check = {**timing, "unhealthy_threshold": 2, "http_health_check": request}
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.picker_http_cluster(picker), options),
        # As long as a question has: a shorter one could be over as it begins, since Envoy's clock stands still while a
        # script reads a large body.
        connect_timeout=seconds(options.picker_timeout),
        **processor(RAISED_LIMIT, check, panic=0.0),
        # A question may wait in a queue for longer than a health check takes. When its picker is found dead, it goes on
        # to another one at once, and to the pool's failure mode where there is none.
        close_connections_on_host_health_failure=True,
        typed_extension_protocol_options=protocol_options({"http_protocol_options": {}}),
    )
