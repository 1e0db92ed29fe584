"""How Envoy reads token usage from answers, without ever costing one. Pure.

A stream is read as it passes. A JSON answer is held until it is whole, and one that outgrows the buffer would become a
500. So only an answer that says its length, and surely fits, is read; every other passes as it comes.
"""

from typing import Final

from controlplane import names
from controlplane.names import Tree, typed
from controlplane.options import Options

SSE_EVENT_BYTES: Final = 65536  # an event larger than this is passed on unread
# An answer is read below 10 MB: parsing it keeps one of Envoy's workers from everything else for a quarter of a second.
LENGTH_DIGITS: Final = 7
_MATCHING: Final = "envoy.extensions.common.matching.v3"
_USAGE: Final = (
    ("prompt_tokens", ("usage", "prompt_tokens")),
    ("completion_tokens", ("usage", "completion_tokens")),
    ("total_tokens", ("usage", "total_tokens")),
    ("cached_tokens", ("usage", "prompt_tokens_details", "cached_tokens")),
)


def filters() -> list[Tree]:
    """The HTTP filters of a listener. The one for JSON does nothing but on routes that say when it may."""
    held = typed(f"{_MATCHING}.ExtensionWithMatcher", extension_config=_json())
    return [_sse(), {"name": names.JSON_USAGE_FILTER, "typed_config": held}]


def on_route(options: Options) -> Tree:
    """Filter settings of a route: every answer but those of a safe length skips the filter for JSON."""
    length = typed("envoy.type.matcher.v3.HttpResponseHeaderMatchInput", header_name="content-length")
    safe = {
        "input": {"name": "content-length", "typed_config": length},
        "value_match": {"safe_regex": {"google_re2": {}, "regex": safe_length(options.body_limit)}},
    }
    skip = {"name": "skip", "typed_config": typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter")}
    other = {"predicate": {"not_matcher": {"single_predicate": safe}}, "on_match": {"action": skip}}
    matcher = {"matcher_list": {"matchers": [other]}}
    return {names.JSON_USAGE_FILTER: typed(f"{_MATCHING}.ExtensionWithMatcherPerRoute", xds_matcher=matcher)}


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
                "rules": _rules(),
                "allow_content_types_regex": {"regex": r"application/json(\s*;.*)?"},
            },
        ),
    }


def _sse() -> Tree:
    """Usage from the last event of a stream; the stream itself is not held back."""
    return {
        "name": names.SSE_USAGE_FILTER,
        "typed_config": typed(
            "envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata",
            response_rules={
                "max_event_size": SSE_EVENT_BYTES,
                "content_parser": {
                    "name": "envoy.content_parsers.json",
                    "typed_config": typed(
                        "envoy.extensions.content_parsers.json.v3.JsonContentParser",
                        rules=[{"rule": rule} for rule in _rules()],
                    ),
                },
            },
        ),
    }


def _rules() -> list[Tree]:
    return [
        {
            "selectors": [{"key": step} for step in path],
            "on_present": {"metadata_namespace": names.USAGE_NAMESPACE, "key": key, "type": "NUMBER"},
        }
        for key, path in _USAGE
    ]
