"""Envoy's clusters of endpoint pickers, for either transport. Pure."""

from controlplane.options import Options, PickerBody
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
        **_protocol(picker.body, limit, options),
        **({"transport_socket": socket} if socket else {}),
    )


def _protocol(body: PickerBody, limit: int, options: Options) -> Tree:
    """In full duplex no time is set to a question, and once a part of the body has left nobody else can be asked. So
    a picker that looks dead is asked nothing, which lets a request pass as its pool wants. What a hung one was asked
    ends with its connection, by the keep-alive."""
    spoken = grpc(limit, options.picker_timeout)
    if body is not PickerBody.FULL_DUPLEX:
        return spoken
    timing = {"timeout": seconds(options.picker_timeout), "interval": "1s", "unhealthy_threshold": 2}
    check = {**timing, "grpc_health_check": {"service_name": protocol.EXT_PROC_SERVICE}}
    return {**spoken, **processor(limit, check, panic=0.0)}


def picker_log_cluster(picker: Picker, share: int, options: Options) -> Tree:
    """As the picker's gRPC port; its assignment has a share of the replicas."""
    return {**picker_cluster(picker, options), **by_eds(names.picker_log_cluster(picker, share), options)}


def picker_http_cluster(picker: Picker, options: Options) -> Tree:
    """The picker's HTTP port. Every path of it belongs to clients, so a health check carries a mark."""
    marked = {"header": {"key": protocol.PICKER_HEALTH, "value": "true"}}
    request = {"path": "/", "host": picker.hostname, "request_headers_to_add": [marked]}
    check = {**_patience(len(picker.http_endpoints), options.picker_timeout), "http_health_check": request}
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.picker_http_cluster(picker), options),
        # As long as a question has: a shorter one could be over as it begins, since Envoy's clock stands still while a
        # script reads a large body.
        connect_timeout=seconds(options.picker_timeout),
        **processor(RAISED_LIMIT, check, panic=1.0 if len(picker.http_endpoints) > 1 else 0.0),
        typed_extension_protocol_options=protocol_options({"http_protocol_options": {}}),
    )


def _patience(replicas: int, timeout: float) -> Tree:
    """How soon a picker looks dead. A lone one has as long as a question and a second check: one that is slow and
    answers in time is not dead. Where there are others, fewer questions go to a hung one: each waits for as long as a
    request may wait in a queue, since Envoy ends no call of HTTP/1.1 for a check that fails.
    """
    if replicas > 1:
        return {"timeout": seconds(timeout / 2), "interval": seconds(timeout / 4), "unhealthy_threshold": 1}
    return {"timeout": seconds(timeout), "interval": "1s", "unhealthy_threshold": 2}
