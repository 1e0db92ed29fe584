"""How Envoy reads token usage from answers. Pure. Reading must never cost an answer.

A stream is read as it passes, by a script: Envoy's own filter for streams (sse_to_metadata of 1.40) ends the process at
an event that is a bare number, string or null. A JSON answer is held until it is whole, and one that outgrows the
buffer becomes a 500. Therefore only an answer with a `content-length` that surely fits is read; others pass unread.
"""

from collections.abc import Iterable
from typing import Final

from controlplane.options import Options
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, typed
from controlplane.xds.resources.scripts import script
from gateway.kube.objects import CostType, RequestCost
from gateway.wire import protocol

# An answer is read below 10 MB: parsing it keeps one of Envoy's workers from everything else for a quarter of a second.
LENGTH_DIGITS: Final = 7
_LUA: Final = "envoy.extensions.filters.http.lua.v3"
_SCRIPT_NAME: Final = "usage"
_COSTS_NAME: Final = "costs"
_MATCHING: Final = "envoy.extensions.common.matching.v3"
# As completions and chat name the counts, then responses and messages.
_USAGE: Final = (
    (protocol.PROMPT_TOKENS, ("usage", "prompt_tokens")),
    (protocol.COMPLETION_TOKENS, ("usage", "completion_tokens")),
    (protocol.TOTAL_TOKENS, ("usage", "total_tokens")),
    (protocol.CACHED_TOKENS, ("usage", "prompt_tokens_details", "cached_tokens")),
    (protocol.PROMPT_TOKENS, ("usage", "input_tokens")),
    (protocol.COMPLETION_TOKENS, ("usage", "output_tokens")),
    (protocol.CACHED_TOKENS, ("usage", "input_tokens_details", "cached_tokens")),
    (protocol.CACHED_TOKENS, ("usage", "cache_read_input_tokens")),
    (protocol.CACHE_READ_TOKENS, ("usage", "cache_read_input_tokens")),
    (protocol.CACHE_CREATION_TOKENS, ("usage", "prompt_tokens_details", "cache_creation_input_tokens")),
    (protocol.CACHE_CREATION_TOKENS, ("usage", "cache_creation_input_tokens")),
    (protocol.REASONING_TOKENS, ("usage", "completion_tokens_details", "reasoning_tokens")),
    (protocol.REASONING_TOKENS, ("usage", "output_tokens_details", "reasoning_tokens")),
)
# What each cost counts; one of type CEL is not written.
_COUNTS: Final = {
    CostType.INPUT: protocol.PROMPT_TOKENS,
    CostType.CACHED_INPUT: protocol.CACHED_TOKENS,
    CostType.CACHE_CREATION_INPUT: protocol.CACHE_CREATION_TOKENS,
    CostType.OUTPUT: protocol.COMPLETION_TOKENS,
    CostType.TOTAL: protocol.TOTAL_TOKENS,
    CostType.REASONING: protocol.REASONING_TOKENS,
}
_TEXTS: Final = ((protocol.STORED_ID, ("id",)),)  # by which later requests name a stored answer


def filters() -> list[Tree]:
    """The HTTP filters of a listener. They do nothing but on routes that ask for it."""
    stream = typed(f"{_LUA}.Lua", source_codes={_SCRIPT_NAME: {"inline_string": script("stream_usage")}})
    held = typed(f"{_MATCHING}.ExtensionWithMatcher", extension_config=_json())
    costs = typed(f"{_LUA}.Lua", source_codes={_COSTS_NAME: {"inline_string": script("request_costs")}})
    return [
        {"name": names.COSTS_FILTER, "typed_config": costs},
        {"name": names.STREAM_USAGE_FILTER, "typed_config": stream},
        {"name": names.JSON_USAGE_FILTER, "typed_config": held},
    ]


def on_route(options: Options) -> Tree:
    """Filter settings of a route: reads streams, and skips every JSON answer but those of a safe length."""
    length = typed("envoy.type.matcher.v3.HttpResponseHeaderMatchInput", header_name="content-length")
    safe = {
        "input": {"name": "content-length", "typed_config": length},
        "value_match": {"safe_regex": {"google_re2": {}, "regex": safe_length(options.body_limit)}},
    }
    skip = {"name": "skip", "typed_config": typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter")}
    other = {"predicate": {"not_matcher": {"single_predicate": safe}}, "on_match": {"action": skip}}
    matcher = {"matcher_list": {"matchers": [other]}}
    return {
        names.STREAM_USAGE_FILTER: typed(f"{_LUA}.LuaPerRoute", name=_SCRIPT_NAME),
        names.JSON_USAGE_FILTER: typed(f"{_MATCHING}.ExtensionWithMatcherPerRoute", xds_matcher=matcher),
    }


def costs_on_route(costs: Iterable[RequestCost]) -> Tree:
    """Filter settings of a route that writes what its requests cost; none where it counts nothing."""
    counts = {cost.key: _COUNTS[cost.type] for cost in costs if cost.type in _COUNTS}
    settings = typed(f"{_LUA}.LuaPerRoute", name=_COSTS_NAME, filter_context=counts)
    return {names.COSTS_FILTER: settings} if counts else {}


def safe_length(limit: int) -> str:
    """A regular expression for the lengths that are read: every number of so many digits is at most the limit, which
    is the buffer's as well."""
    return f"[0-9]{{0,{min(len(str(limit)) - 1, LENGTH_DIGITS)}}}"


def _json() -> Tree:
    return {
        "name": names.JSON_USAGE_FILTER,
        "typed_config": typed(
            "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
            response_rules={
                "rules": [
                    *(_rule(key, path, "NUMBER") for key, path in _USAGE),
                    *(_rule(key, path, "STRING") for key, path in _TEXTS),
                ],
                "allow_content_types_regex": {"regex": r"application/json(\s*;.*)?"},
            },
        ),
    }


def _rule(key: str, path: tuple[str, ...], kind: str) -> Tree:
    return {
        "selectors": [{"key": step} for step in path],
        "on_present": {"metadata_namespace": protocol.USAGE_NAMESPACE, "key": key, "type": kind},
    }
