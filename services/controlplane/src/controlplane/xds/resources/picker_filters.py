"""How a route asks the endpoint picker of its pool: by ext_proc, or over HTTP by ext_authz. Pure.

Each transport is one HTTP filter on the listener that does nothing by itself, and settings on the routes of each pool.
Envoy's `disabled` does not fit: it is decided by the route that matches before the model is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.options import Options, PickerBody, PickerTransport
from controlplane.plan.pickers import Picker
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, seconds, typed
from controlplane.xds.resources.other_hosts import another_host
from gateway.kube.objects import ObjectName
from gateway.wire import protocol

_EXT_PROC: Final = "envoy.extensions.filters.http.ext_proc.v3"
_EXT_AUTHZ: Final = "envoy.extensions.filters.http.ext_authz.v3"
# What is sent over the HTTP transport beside method, path and body. By ext_proc every header is.
_PICKER_HEADERS: Final = (
    {"exact": "content-type"},
    {"exact": protocol.CONTENT_ENCODING},
    {"exact": "traceparent"},
    {"prefix": "x-"},
    {"prefix": "test-epp-"},
)
_REQUEST_HEADERS: Final = (
    {"prefix": protocol.CONTROL_HEADER_PREFIX},
    {"exact": protocol.PREFILL_ENDPOINT},
    {"exact": protocol.ENCODE_ENDPOINTS},
    {"exact": protocol.ATTEMPT_TIMEOUT},
)
_REFUSAL_HEADERS: Final = (
    {"exact": "content-type"},
    {"exact": "retry-after"},
    {"exact": protocol.DROPPED_REASON},
)
_ANSWER_HEADERS: Final = (
    {"prefix": "x-session-"},
    {"exact": protocol.EXPLAIN_ENDPOINT},
    {"exact": protocol.EXPLAIN_MARGIN},
)
WAIT_BEFORE_LOWER_TIER: Final = "1"  # seconds in a picker's queue while another tier could serve
_NO_BODY: Final[Tree] = {"request_body_mode": "NONE"}
_BODY_MODES: Final[dict[PickerBody, Tree]] = {
    PickerBody.BUFFERED: {"request_body_mode": "BUFFERED"},
    PickerBody.STREAMED: {"request_body_mode": "STREAMED"},
    PickerBody.FULL_DUPLEX: {"request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND"},
}
_METADATA_HEADERS: Final = ({"exact": protocol.DESTINATION_ENDPOINT}, {"exact": protocol.PICK_ID})


@dataclass(frozen=True, slots=True)
class Question:
    """What a route asks a picker: for an endpoint of these pools and as many further ones as retries would walk, where
    this many lower tiers serve what the pool cannot. `is_followed`: what it refuses goes to another tier. Streamed
    answers must have begun within `first_token` seconds."""

    pools: Sequence[ObjectName]
    further: int
    lower: int = 0
    is_followed: bool = False
    first_token: float | None = None


def filters(pickers: Sequence[Picker], options: Options) -> list[Tree]:
    """The HTTP filters of a listener whose routes ask these pickers."""
    found = []
    for transport, make in ((PickerTransport.EXT_PROC, _ext_proc), (PickerTransport.HTTP, _ext_authz)):
        first = next((picker for picker in pickers if picker.transport is transport), None)
        if first is not None:
            found.append(make(first, options))
            if transport is PickerTransport.EXT_PROC:
                found.append(_retry(first, options))
    return found


def on_host(pickers: Sequence[Picker]) -> Tree:
    """Filter settings of a virtual host: routes ask nobody unless they say so. ext_proc needs none."""
    if any(picker.transport is PickerTransport.HTTP for picker in pickers):
        return {names.HTTP_FILTER: typed(f"{_EXT_AUTHZ}.ExtAuthzPerRoute", disabled=True)}
    return {}


def on_route(picker: Picker, question: Question, options: Options) -> Tree:
    """Filter settings that ask a picker."""
    pools = ",".join(str(pool) for pool in question.pools)
    sent = {protocol.POOL_METADATA: pools, protocol.FALLBACKS_METADATA: str(question.further)}
    if question.lower:
        sent[protocol.LOWER_TIERS_METADATA] = str(question.lower)
    if question.lower or question.is_followed:
        sent[protocol.LONGEST_WAIT_METADATA] = WAIT_BEFORE_LOWER_TIER
    if question.first_token:
        sent[protocol.TTFT_LIMIT] = str(round(question.first_token * 1000))
    if picker.transport is PickerTransport.HTTP:
        sent = {
            protocol.MODEL_HEADERS: "true",
            protocol.LONGEST_WAIT_METADATA: str(int(options.picker_http_timeout)),
        } | sent
        settings = {"http_service": _http_service(picker, sent, options.picker_http_wait, options)}
        return {names.HTTP_FILTER: typed(f"{_EXT_AUTHZ}.ExtAuthzPerRoute", check_settings=settings)}
    call = typed(f"{_EXT_PROC}.ExtProcPerRoute", overrides=_overrides(picker, sent, options))
    found: Tree = {names.EPP_FILTER: call}
    return {**found, names.EPP_RETRY_FILTER: call} if len(picker.endpoints) > 1 else found


def on_probe(picker: Picker, pools: Sequence[ObjectName], options: Options) -> Tree:
    """Filter settings of a route that is served only with a pick, by ext_proc."""
    listed = ",".join(str(pool) for pool in pools)
    sent = {protocol.POOL_METADATA: listed, protocol.FALLBACKS_METADATA: "0"}
    needed = {**_overrides(picker, sent, options), "failure_mode_allow": False}
    return {names.EPP_FILTER: typed(f"{_EXT_PROC}.ExtProcPerRoute", overrides=needed)}


def without_body(settings: Tree) -> Tree:
    """Filter settings of a route or a share, which ask the picker about the headers alone."""
    found = dict(settings)
    for name in (names.EPP_FILTER, names.EPP_RETRY_FILTER):
        call = found.get(name)
        if isinstance(call, dict) and (overrides := call.get("overrides")):
            found[name] = {**call, "overrides": {**overrides, "processing_mode": _processing_mode(_NO_BODY)}}
    call = found.get(names.HTTP_FILTER)
    if isinstance(call, dict) and (check := call.get("check_settings")):
        found[names.HTTP_FILTER] = {**call, "check_settings": {**check, "disable_request_body_buffering": True}}
    return found


def _overrides(picker: Picker, sent: dict[str, str], options: Options) -> Tree:
    longest = {protocol.LONGEST_WAIT_METADATA: str(int(options.picker_max_timeout))} | sent
    return {
        "grpc_service": {
            "envoy_grpc": {
                "cluster_name": names.picker_cluster(picker),
                "authority": f"{picker.hostname}:{picker.port}",
            }
        },
        "grpc_initial_metadata": _pairs(longest),
        "failure_mode_allow": True,
        "processing_mode": _processing_mode(_NO_BODY if options.fused else _BODY_MODES[picker.body]),
    }


def _processing_mode(request: Tree) -> Tree:
    """No answer's body passes through a picker, so that none is cut when it dies."""
    return {"request_header_mode": "SEND", **request, "response_header_mode": "SEND", "response_body_mode": "NONE"}


def on_miss(picker: Picker, options: Options) -> Tree:
    """Filter settings of a route that only explains: has the picker check the body, and picks nothing."""
    settings = {
        "http_service": _http_service(picker, {protocol.MODEL_HEADERS: protocol.MODEL_HEADERS_CHECK}, 0.0, options)
    }
    return {names.HTTP_FILTER: typed(f"{_EXT_AUTHZ}.ExtAuthzPerRoute", check_settings=settings)}


def _ext_proc(picker: Picker, options: Options) -> Tree:
    return {"name": names.EPP_FILTER, "typed_config": _processor(picker, "epp", options)}


def _processor(picker: Picker, stat_prefix: str, options: Options) -> Tree:
    """It always fails open, or a dying picker would cut answers in flight. The cluster of a FailClose pool refuses."""
    return typed(
        f"{_EXT_PROC}.ExternalProcessor",
        stat_prefix=stat_prefix,
        grpc_service={"envoy_grpc": {"cluster_name": names.picker_cluster(picker)}},
        failure_mode_allow=True,
        message_timeout=seconds(options.picker_timeout),
        max_message_timeout=seconds(options.picker_max_timeout),
        status_on_error={"code": "ServiceUnavailable"},
        route_cache_action="RETAIN",
        # Envoy's own headers are no picker's to write, but for the time of an attempt.
        mutation_rules={"allow_expression": {"regex": protocol.ATTEMPT_TIMEOUT}},
        # Where it is streamed: a picker chooses by the body. A fused one could not ask for it then.
        send_body_without_waiting_for_header_response=not options.fused,
        allow_mode_override=options.fused,  # a fused picker asks for a body that it does not know
        processing_mode={"request_header_mode": "SKIP", "response_header_mode": "SKIP"},
        metadata_options={
            "forwarding_namespaces": {"untyped": [protocol.LB_NAMESPACE, protocol.SUBSET_NAMESPACE]},
            "receiving_namespaces": {"untyped": [protocol.LB_NAMESPACE]},
        },
    )


def _retry(picker: Picker, options: Options) -> Tree:
    """The same filter once more, for what the first one let pass without an answer: a question by ext_proc cannot move
    to another picker by itself. By then a health check has taken a hung picker out, and a dead one is ejected. One that
    chose nothing, so that another tier serves, has answered."""
    answered = [_has_metadata(protocol.DESTINATION_ENDPOINT), _has_metadata(protocol.LEFT_TO_OTHERS)]
    skip = {"name": "skip", "typed_config": typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter")}
    matcher = {"predicate": {"or_matcher": {"predicate": answered}}, "on_match": {"action": skip}}
    return {
        "name": names.EPP_RETRY_FILTER,
        "typed_config": typed(
            "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            extension_config={
                "name": names.EPP_RETRY_FILTER,
                "typed_config": _processor(picker, "epp_retry", options),
            },
            xds_matcher={"matcher_list": {"matchers": [matcher]}},
        ),
    }


def _has_metadata(key: str) -> Tree:
    """A matcher's predicate: the picker has written this."""
    return {
        "single_predicate": {
            "input": {
                "name": "envoy.matching.inputs.dynamic_metadata",
                "typed_config": typed(
                    "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput",
                    filter=protocol.LB_NAMESPACE,
                    path=[{"key": key}],
                ),
            },
            "custom_match": {
                "name": "envoy.matching.matchers.metadata_matcher",
                "typed_config": typed(
                    "envoy.extensions.matching.input_matchers.metadata.v3.Metadata", value={"present_match": True}
                ),
            },
        }
    }


def _ext_authz(picker: Picker, options: Options) -> Tree:
    """The route is chosen anew after the answer: a verdict that is no pick has a route of its own."""
    return {
        "name": names.HTTP_FILTER,
        "typed_config": typed(
            f"{_EXT_AUTHZ}.ExtAuthz",
            stat_prefix="epp",
            transport_api_version="V3",
            http_service=_http_service(picker, {}, 0.0, options),
            failure_mode_allow=True,
            status_on_error={"code": "ServiceUnavailable"},
            clear_route_cache=True,
            with_request_body={"max_request_bytes": options.body_limit},
            allowed_headers={"patterns": list(_PICKER_HEADERS)},
        ),
    }


def _http_service(picker: Picker, sent: dict[str, str], wait: float, options: Options) -> Tree:
    """`wait` is how many seconds a request may spend in the picker's queue, beside the time for an answer."""
    return {
        "retry_policy": _another(wait + options.picker_timeout / 2),
        "server_uri": {
            "uri": f"http://{picker.hostname}:{picker.http_port}",
            "cluster": names.picker_http_cluster(picker),
            "timeout": seconds(wait + options.picker_timeout),
        },
        "authorization_request": {"headers_to_add": _pairs(sent)},
        "authorization_response": {
            "allowed_upstream_headers": {"patterns": list(_REQUEST_HEADERS)},
            "allowed_client_headers": {"patterns": list(_REFUSAL_HEADERS)},
            "allowed_client_headers_on_success": {"patterns": list(_ANSWER_HEADERS)},
            "dynamic_metadata_from_headers": {"patterns": list(_METADATA_HEADERS)},
        },
    }


def _another(first: float) -> Tree:
    """A picker that refuses, breaks off, or is silent for `first` seconds is followed by another one within the same
    request. Envoy takes the longest pause for the time of an attempt; the pause itself is a millisecond."""
    return {
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": 1,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": seconds(first)},
        **another_host(),
    }


def _pairs(values: dict[str, str]) -> list[Tree]:
    return [{"key": key, "value": value} for key, value in values.items()]
