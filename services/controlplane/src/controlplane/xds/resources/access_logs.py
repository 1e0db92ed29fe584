"""What Envoy writes about each request: to its picker over gRPC, and to a file for people and programs. Pure."""

from collections.abc import Sequence
from typing import Final

from controlplane.options import Options, PickerTransport
from controlplane.plan.pickers import Picker
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, seconds, typed
from gateway.wire import protocol

# Shares of a picker's replicas, each of which gets the whole log of requests over HTTP: with two replicas both do. One
# more costs Envoy an entry for each request more, and another number than before would end its connections.
LOG_SHARES: Final = 2
FLUSH: Final = "0.01s"  # the picker learns within 10 ms; about 20 entries a message under load
# Of a connection manager: an entry for each live request every so often, by which a picker knows that it lives.
HEARTBEATS: Final[Tree] = {"access_log_flush_interval": seconds(protocol.HEARTBEAT_SECONDS)}
_USAGE: Final = (
    protocol.PROMPT_TOKENS,
    protocol.COMPLETION_TOKENS,
    protocol.TOTAL_TOKENS,
    protocol.CACHED_TOKENS,
    protocol.CACHE_CREATION_TOKENS,
    protocol.REASONING_TOKENS,
)
_FIRST_BYTE: Final = "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%"
_FIELDS: Final[Tree] = {
    "start_time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",  # a query may hold what is nobody's business
    "host": "%REQ(:AUTHORITY)%",
    "model": f"%REQ({protocol.MODEL_NAME})%",
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "ttft_ms": _FIRST_BYTE,
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "usage": {key: f"%DYNAMIC_METADATA({protocol.USAGE_NAMESPACE}:{key})%" for key in _USAGE},
    "costs": f"%DYNAMIC_METADATA({protocol.COST_NAMESPACE})%",
}


def picker_logs(pickers: Sequence[Picker], options: Options) -> list[Tree]:
    """The outcome of each picked request, to its picker."""
    return [_picker_log(cluster) for cluster in _log_clusters(pickers, options)]


def attempt_logs(pickers: Sequence[Picker], options: Options) -> list[Tree]:
    """Why an attempt failed, to the picker of its request: for the router, which writes an entry for each attempt. One
    that is answered costs the evaluation of the filter."""
    return [_attempt_log(cluster) for cluster in _log_clusters(pickers, options)]


def needs_shares(picker: Picker, options: Options) -> bool:
    """Whether the log goes to more than one replica. A worker of Envoy sends each log to one of a cluster: by ext_proc
    the replica that picked sees its stream end, over HTTP it has nothing but the log."""
    return picker.transport is PickerTransport.HTTP and options.pickers_share_state


def _log_clusters(pickers: Sequence[Picker], options: Options) -> list[str]:
    shared = {names.picker_cluster(picker): picker for picker in pickers if needs_shares(picker, options)}
    whole = {names.picker_cluster(picker) for picker in pickers} - shared.keys()
    parts = [names.picker_log_cluster(picker, share) for picker in shared.values() for share in range(LOG_SHARES)]
    return sorted((*whole, *parts))


def file_log(options: Options) -> list[Tree]:
    """A line of JSON for each request that has ended, where the operator wants one."""
    if not options.access_log:
        return []
    kind = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return [
        {
            "name": "envoy.access_loggers.file",
            "filter": {"log_type_filter": {"types": ["DownstreamEnd"]}},
            "typed_config": typed(kind, path=options.access_log, log_format={"json_format": _FIELDS}),
        }
    ]


def _picker_log(cluster: str) -> Tree:
    """Only entries with a pick's id: others are of no use to a picker."""
    picked = [_metadata_filter(namespace) for namespace in (protocol.LB_NAMESPACE, protocol.EXT_AUTHZ_NAMESPACE)]
    first_byte: Tree = {"tag": protocol.TTFT_TAG, "value": _FIRST_BYTE}
    return _grpc_log(cluster, "pointsman", {"or_filter": {"filters": picked}}, [first_byte])


def _attempt_log(cluster: str) -> Tree:
    """An attempt is without the metadata of its request, but has its headers."""
    picked = {"header_filter": {"header": {"name": protocol.PICK_ID, "present_match": True}}}
    failed: list[Tree] = [{"response_flag_filter": {}}, _status("EQ", 429), _status("GE", 500)]
    tags: list[Tree] = [
        {"tag": tag, "request_header": {"name": header}}
        for tag, header in (
            (protocol.ATTEMPT_PICK_TAG, protocol.PICK_ID),
            (protocol.ATTEMPT_TAG, protocol.ATTEMPT_COUNT),
        )
    ]
    wanted: Tree = {"and_filter": {"filters": [{"or_filter": {"filters": failed}}, picked]}}
    return _grpc_log(cluster, "pointsman-attempts", wanted, tags)


def _status(comparison: str, status: int) -> Tree:
    value = {"default_value": status, "runtime_key": f"pointsman.attempts.{comparison.lower()}_{status}"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def _grpc_log(cluster: str, name: str, wanted: Tree, tags: Sequence[Tree]) -> Tree:
    return {
        "name": "envoy.access_loggers.http_grpc",
        "filter": wanted,
        "typed_config": typed(
            "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
            common_config={
                "log_name": name,
                "transport_api_version": "V3",
                "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
                "buffer_flush_interval": FLUSH,
                "custom_tags": list(tags),
            },
        ),
    }


def _metadata_filter(namespace: str) -> Tree:
    matcher = {"filter": namespace, "path": [{"key": protocol.PICK_ID}], "value": {"present_match": True}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}
