"""When a request moves on to another endpoint, as Envoy's retry policies. Pure; docs/retries.md is for people.

Each attempt takes the next entry of the picker's list, and none goes to a host that has already failed. Nothing is
repeated once a byte of an answer has gone to the client: Envoy sends headers on as they come. The picker may lower the
number for one request (`x-gateway-retries`), and does so for one that builds on what a single server has stored, and
where its list is short.

No policy depends on how many endpoints a pool has: they come and go, routes stay. What an attempt's answer means is
judged by the attempt's number and by the endpoints that are left, in the `OUTCOME` header.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from controlplane.plan.entries import Entry
from controlplane.xds.resources.names import CLUSTER_METADATA, Tree, seconds, typed
from controlplane.xds.resources.other_hosts import another_host
from controlplane.xds.resources.scripts import script
from gateway.kube.objects import FailureMode, InferencePool, Retry
from gateway.wire import protocol

RETRIES: Final = 2  # a second and a third endpoint; the picker is asked for as many
MOST_RETRIES: Final = 8  # as many further endpoints as the picker names at most
# A full, restarting or closing model server answers these, and another one may do better.
CODES: Final = (429, 502, 503, 504)
# Another one may know better once. An error of the request itself would be the same everywhere.
_ONCE: Final = 500
# Status and number of an attempt, or that the model's context is too small; between Envoy's filters alone.
OUTCOME: Final = "x-pointsman-outcome"
OVERFLOW: Final = "context"
_PICK_IDS: Final[Sequence[Tree]] = [  # of either transport
    {
        "header": {"key": protocol.PICK_ID, "value": f"%DYNAMIC_METADATA({namespace}:{protocol.PICK_ID})%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "keep_empty_value": False,
    }
    for namespace in (protocol.LB_NAMESPACE, protocol.EXT_AUTHZ_NAMESPACE)
]
_METADATA: Final = CLUSTER_METADATA
_OTHERS: Final = "others"  # of an endpoint's metadata
# Never reached a server, or was refused by it before it began.
_NOT_STARTED: Final = "connect-failure,reset-before-request,refused-stream"
_UNANSWERED: Final = "connect-failure,refused-stream,reset"  # no headers of an answer, within the attempt's limit
# One server keeps what these paths are about; another would say that it does not exist, or keep it twice.
_STORED: Final = (
    "conversations|files|uploads|batches|fine_tuning|vector_stores|assistants|threads|containers|responses/[^/?]+"
)
_STORED_PATHS: Final = rf"[!->@-~]*/v1/({_STORED})(/[!->@-~]*)?([?]\C*)?"

_NOT_STORED: Final[Tree] = {
    "name": ":path",
    "string_match": {"safe_regex": {"regex": _STORED_PATHS}},
    "invert_match": True,
}
_EACH_TIER: Final[Tree] = {"update_frequency": 1}  # the next attempt goes to another one


def on_route(entry: Entry) -> Tree:
    """The retry policy of an entry, as a field of its route's action."""
    targets = [backend.target for backend in entry.backends if backend.weight > 0]
    pools = [target for target in targets if isinstance(target, InferencePool)]
    lower = max((len(backend.lower) for backend in entry.backends), default=0)
    if lower:
        policy = _through_tiers(entry.rule.retry, lower)
    elif not pools or len(pools) < len(targets):
        policy = _for_services(entry.rule.retry)
    else:
        policy = _for_pools(entry.rule.retry, pools)
    timeouts = entry.rule.timeouts
    if timeouts.backend_request:
        policy = {**policy, "per_try_timeout": seconds(timeouts.backend_request)}
    if timeouts.stream_idle:
        policy = {**policy, "per_try_idle_timeout": seconds(timeouts.stream_idle)}
    return {"retry_policy": policy}


def wanted(retry: Retry | None) -> int:
    """How many further endpoints a rule's requests may try."""
    if retry is None or retry.attempts is None:
        return RETRIES
    return min(retry.attempts, MOST_RETRIES)


def on_host() -> Tree:
    """Fields of a virtual host: attempts are numbered and bear the pick's id, for the log of attempts, and the
    picker's own number of retries becomes Envoy's header, which is above the policy."""
    lowered = {
        "header": {"key": "x-envoy-max-retries", "value": f"%REQ({protocol.RETRIES})%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "keep_empty_value": False,
    }
    return {"include_request_attempt_count": True, "request_headers_to_add": [lowered, *_PICK_IDS]}


def on_configuration() -> Tree:
    """Fields of a route configuration, which come last: what policies and picker agree by goes no further."""
    return {"request_headers_to_remove": [protocol.RETRIES], "response_headers_to_remove": [OUTCOME]}


def upstream_filters(mode: FailureMode | None) -> Sequence[Tree]:
    """HTTP filters of a pool's cluster: the answer of each attempt names its status, its number, and who is left: the
    picker's list where nobody else names an endpoint, else how many others there are."""
    is_closed = mode is FailureMode.CLOSE
    left = f"%REQ({protocol.DESTINATION_ENDPOINT})%" if is_closed else f"%UPSTREAM_METADATA({_METADATA}:{_OTHERS})%"
    outcome = {"key": OUTCOME, "value": f"%RESP(:status)%:%REQ({protocol.ATTEMPT_COUNT})%:{left}"}
    append = {"header": outcome, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    mutations = {"response_mutations": [{"append": append}]}
    kind = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    codec = typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec")
    return (
        {"name": "envoy.filters.http.header_mutation", "typed_config": typed(kind, mutations=mutations)},
        {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
    )


def counted(endpoints: Sequence[Tree], total: int) -> list[Tree]:
    """Endpoints of a cluster of `total`, each with how many others there are, as far as any policy would go."""
    others = {_OTHERS: str(min(total - 1, MOST_RETRIES))}
    return [_with_metadata(each, others) for each in endpoints]


def _with_metadata(endpoint: Tree, fields: Mapping[str, str]) -> Tree:
    metadata = endpoint.get("metadata", {})
    assert isinstance(metadata, dict)
    found = metadata.get("filter_metadata", {})
    return {**endpoint, "metadata": {"filter_metadata": {**found, _METADATA: {**found.get(_METADATA, {}), **fields}}}}


def overflow_filter() -> Tree:
    """An HTTP filter of a cluster with lower tiers, ahead of the others: finds answers that mean `OVERFLOW`."""
    code = {"inline_string": script("context_overflow")}
    lua = typed("envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code)
    return {"name": "envoy.filters.http.lua/overflow", "typed_config": lua}


def _for_pools(retry: Retry | None, pools: Sequence[InferencePool]) -> Tree:
    retries = wanted(retry)
    if retries == 0:
        return {"num_retries": 0}
    codes = retry.codes if retry and retry.codes else CODES
    judged = f"({'|'.join(map(str, codes))}):({'|'.join(_left(number) for number in range(1, retries + 1))})"
    if not (retry and retry.codes):
        judged = f"{judged}|{_ONCE}:{_left(1)}"
    return {
        "retry_on": f"{_UNANSWERED},retriable-headers",
        "retriable_headers": [{"name": OUTCOME, "string_match": {"safe_regex": {"regex": judged}}}],
        "retriable_request_headers": [_may_move(pools)],
        "num_retries": retries,
        **another_host(),
        **_waits(retry),
    }


def _left(number: int) -> str:
    """Outcomes of this attempt after which another endpoint is left: as many others, or a list that is longer."""
    return f"{number}:([{number}-{MOST_RETRIES}]|[^,]*(,[^,]*){{{number},}})"


def _for_services(retry: Retry | None) -> Tree:
    """What is behind a Service need not be a model server: a request that may have begun is repeated where the rule
    says so, and only there."""
    if retry is None:
        return _walking(f"{_NOT_STARTED},retriable-status-codes", (503,), RETRIES)
    if wanted(retry) == 0:
        return {"num_retries": 0}
    return _walking(f"{_UNANSWERED},retriable-status-codes", retry.codes or CODES, wanted(retry)) | _waits(retry)


def _through_tiers(retry: Retry | None, lower: int) -> Tree:
    """First along the picker's list, then tier by tier: also where a model's context is too small, for another's may be
    larger. A server's own error is the answer if no tier has a better."""
    if retry is not None and retry.attempts == 0:
        return {"num_retries": 0}
    codes = retry.codes if retry and retry.codes else CODES
    previous = typed("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", **_EACH_TIER)
    return {
        **_walking(f"{_UNANSWERED},retriable-status-codes,retriable-headers", codes, wanted(retry) + lower),
        "retriable_headers": [{"name": OUTCOME, "string_match": {"exact": OVERFLOW}}],
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": previous},
        "retriable_request_headers": [_NOT_STORED],
        **_waits(retry),
    }


def _walking(retry_on: str, codes: Sequence[int], retries: int) -> Tree:
    return {
        "retry_on": retry_on,
        "retriable_status_codes": list(codes),
        "num_retries": retries,
        **another_host(),
    }


def _may_move(pools: Sequence[InferencePool]) -> Tree:
    """Which requests may move on at all. In a FailClose pool nobody but the picker names an endpoint: behind a list of
    one stands no other, and what that one answered is the answer."""
    if all(pool.picker is not None and pool.picker.failure_mode is FailureMode.CLOSE for pool in pools):
        return {"name": protocol.DESTINATION_ENDPOINT, "string_match": {"contains": ","}}
    return _NOT_STORED


def _waits(retry: Retry | None) -> Tree:
    """How long before the next attempt. A server's Retry-After counts where it is shorter than the rule's backoff."""
    if retry is None or not retry.backoff:
        return {}
    reset = {"name": "retry-after", "format": "SECONDS"}
    return {
        "retry_back_off": {"base_interval": seconds(retry.backoff)},
        "rate_limited_retry_back_off": {"reset_headers": [reset], "max_interval": seconds(retry.backoff)},
    }
