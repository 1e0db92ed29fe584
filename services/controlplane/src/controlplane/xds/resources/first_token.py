"""Holds the head of a streamed answer back until its first bytes came, so that its request may still move on. Pure.

An engine that streams sends its head before its first token, and Envoy moves a request on only while the client has
nothing. Envoy's filters pass a head on at once, all but one: ext_proc keeps it until the processor answers. So a filter
of the pool's cluster shows the answers of requests with a mark to the picker, which answers once the first bytes came
and leaves the rest alone. Requests without the mark pass it by. The mark goes on to the model server: a header that one
attempt takes away is gone for the next one, too.
"""

from typing import Final

from controlplane.options import Options
from controlplane.plan.pickers import Picker
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, seconds, typed
from gateway.wire import protocol

_COMPOSITE: Final = "envoy.extensions.filters.http.composite.v3"


def holding(picker: Picker, options: Options) -> Tree:
    """The HTTP filter of a cluster. A picker that is gone holds nothing: the head goes on."""
    marked = {
        "input": {
            "name": protocol.TTFT_LIMIT,
            "typed_config": typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=protocol.TTFT_LIMIT),
        },
        "value_match": {"exact": protocol.TTFT_HELD},
    }
    held = {"name": names.TTFT_FILTER, "typed_config": _processor(picker, options)}
    action = {"name": "hold", "typed_config": typed(f"{_COMPOSITE}.ExecuteFilterAction", typed_config=held)}
    matcher = {"predicate": {"single_predicate": marked}, "on_match": {"action": action}}
    return {
        "name": names.TTFT_FILTER,
        "typed_config": typed(
            "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            extension_config={"name": "composite", "typed_config": typed(f"{_COMPOSITE}.Composite")},
            xds_matcher={"matcher_list": {"matchers": [matcher]}},
        ),
    }


def _processor(picker: Picker, options: Options) -> Tree:
    """The picker has its usual time to say that it lives, and then as long as a stream may be silent."""
    longest = int(options.stream_idle_timeout)
    metadata = {protocol.TTFT_LIMIT: protocol.TTFT_HELD, protocol.LONGEST_WAIT_METADATA: str(longest)}
    return typed(
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        stat_prefix="first_token",
        grpc_service={
            "envoy_grpc": {
                "cluster_name": names.picker_cluster(picker),
                "authority": f"{picker.hostname}:{picker.port}",
            },
            "initial_metadata": [{"key": key, "value": value} for key, value in metadata.items()],
        },
        failure_mode_allow=True,
        message_timeout=seconds(options.picker_timeout),
        max_message_timeout=seconds(longest),
        send_body_without_waiting_for_header_response=True,
        processing_mode={
            "request_header_mode": "SKIP",
            "request_body_mode": "NONE",
            "response_header_mode": "SEND",
            "response_body_mode": "STREAMED",
        },
    )
