"""Envoy's own replies in the one shape that every error of this project has. Pure.

Each mapper matches exactly the replies that it is for: an answer of a picker or of the body-based router over ext_proc
passes here, too, and must stay as it is. A reply that no mapper matches stays as it is.
"""

from collections.abc import Iterator
from typing import Final

from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, typed
from gateway.kube.objects import FailureMode
from gateway.wire import protocol, refusals
from gateway.wire.errors import ANTHROPIC_PATHS, REQUEST_ID, ErrorCode, anthropic_type, error_type

_PICKED: Final = " || ".join(
    f"('{namespace}' in metadata.filter_metadata && "
    f"'{protocol.DESTINATION_ENDPOINT}' in metadata.filter_metadata['{namespace}'])"
    for namespace in (protocol.LB_NAMESPACE, protocol.EXT_AUTHZ_NAMESPACE)
)
_FAIL_CLOSE: Final = (
    f"xds.cluster_metadata.filter_metadata['{names.CLUSTER_METADATA}']['failure_mode'] == '{FailureMode.CLOSE}'"
)
# Of Anthropic's API, whose errors have another shape.
_ANTHROPIC: Final = " || ".join(f"request.url_path.endsWith('{path}')" for path in ANTHROPIC_PATHS)
# Why the filter for keys refuses a request, in its own words.
_NO_KEY: Final = ("missing_api_key", "unknown_api_key", "missing_credentials", "missing_key_sources")
_RECOVERY: Final = f"{refusals.RECOVERY_SECONDS:.0f}"
# Requests that Envoy refuses before they reach a filter, by its own word for why and with its own status.
_INVALID: Final = (
    ("low_version", 426),
    ("missing_host_header", 400),
    ("path_normalization_failed", 400),
    ("request_header_timeout", 408),
    ("request_overall_timeout", 408),
)


def local_reply_config() -> Tree:
    """In order: the first mapper that matches shapes the reply."""
    return {"mappers": [*_explained(), *_unknown_clients(), *_refused(), *_upstream()]}


def _explained() -> list[Tree]:
    """Requests that ended at a route that only explains."""
    model = f"The model '%REQ({protocol.MODEL_NAME})%' does not exist."
    missing = "The request names no model."
    return [
        *_in_either_shape(
            f"xds.route_name == '{names.MODEL_NOT_FOUND}' && response.code == 404",
            404,
            ErrorCode.MODEL_NOT_FOUND,
            model,
            "model",
        ),
        _mapper(_route(names.MODEL_MISSING), 400, ErrorCode.INVALID_REQUEST, missing, "model"),
        *_known_models(),
        _mapper(_models(names.MODELS), 503, ErrorCode.PICKER_UNAVAILABLE, "No endpoint picker lists the models."),
        _mapper(_route(names.PICKER_FAILED), 500, f"%REQ({protocol.VERDICT})%", f"%REQ({protocol.VERDICT_MESSAGE})%"),
        _to_be_repeated(
            _mapper(
                _route(names.PICKER_REFUSED), 503, f"%REQ({protocol.VERDICT})%", f"%REQ({protocol.VERDICT_MESSAGE})%"
            ),
            f"%REQ({protocol.VERDICT_RETRY_AFTER})%",
        ),
        _mapper(_route(names.INVALID_FILTER), 500, ErrorCode.INTERNAL, "The route has a filter that is not supported."),
        _mapper(_route(names.RESTRICTED), 500, ErrorCode.INTERNAL, "A policy that restricts access is not supported."),
        _mapper(_absent("500"), 500, ErrorCode.INTERNAL, "The route leads to no backend."),
        _mapper(_flags("NR", "NC"), 404, ErrorCode.ROUTE_NOT_FOUND, "No route serves %REQ(:METHOD)% %PATH(NQ)%."),
    ]


def _unknown_clients() -> Iterator[Tree]:
    """Requests without a credential that counts, and those that its owner may not send."""
    no_key = "The request brings no key, user or password that is valid here."
    refused = "The token is missing or not valid here: %LOCAL_REPLY_BODY%."
    denied = "The client may not send this request."
    keys = " || ".join(f"response.code_details == '{word}'" for word in _NO_KEY)
    basic = "response.code_details.endsWith('_for_basic_auth')"
    jwt = "response.code_details.startsWith('jwt_authn_access_denied')"
    rules = "response.code_details.startsWith('rbac_access_denied')"
    yield from _in_either_shape(keys, 401, ErrorCode.INVALID_API_KEY, no_key)
    yield from _in_either_shape(basic, 401, ErrorCode.INVALID_API_KEY, no_key)
    yield from _in_either_shape(f"{jwt} && response.code == 403", 403, ErrorCode.ACCESS_DENIED, refused)
    yield from _in_either_shape(jwt, 401, ErrorCode.INVALID_API_KEY, refused)
    yield from _in_either_shape(rules, 403, ErrorCode.ACCESS_DENIED, denied)


def _in_either_shape(condition: str, status: int, code: str, message: str, param: str | None = None) -> Iterator[Tree]:
    """The same reply in the shape of Anthropic's API, then in that of OpenAI's."""
    error = {"type": anthropic_type(status), "message": message}
    yield {
        "filter": _cel(f"({condition}) && ({_ANTHROPIC})"),
        "status_code": status,
        "body_format_override": {
            "json_format": {"type": "error", "error": error, "request_id": f"%REQ({REQUEST_ID})%"},
            "content_type": "application/json",
        },
    }
    yield _mapper(_cel(condition), status, code, message, param)


def _refused() -> list[Tree]:
    """Requests that Envoy or one of its filters could not take."""
    large = "The request body is larger than this gateway takes."
    invalid = "Not valid HTTP, or not served: %RESPONSE_CODE_DETAILS%."
    full = "The gateway has no memory for further requests at the moment."
    answer = "The answer is larger than this gateway reads token usage from."
    return [
        _mapper(_details("== 'request_payload_too_large'"), 413, ErrorCode.REQUEST_TOO_LARGE, large),
        _mapper(_details("== 'response_payload_too_large'"), 500, ErrorCode.INTERNAL, answer),
        _mapper(_details(".startsWith('ext_proc_error')"), 503, ErrorCode.PICKER_UNAVAILABLE, "A processor failed."),
        _mapper(_details("== 'rate_limiter_error'"), 503, ErrorCode.QUOTA_UNAVAILABLE, "Quotas cannot be counted."),
        _mapper(
            _details(".endsWith('headers_too_large')"), 431, ErrorCode.INVALID_REQUEST, "The headers are too large."
        ),
        _mapper(_details(".startsWith('http')"), 400, ErrorCode.INVALID_REQUEST, invalid),
        *(_mapper(_invalid(why, status), status, ErrorCode.INVALID_REQUEST, invalid) for why, status in _INVALID),
        _mapper(_details("== 'overload'"), 503, ErrorCode.GATEWAY_OVERLOADED, full),
        _mapper(_details("== 'upgrade_failed'"), 404, ErrorCode.ROUTE_NOT_FOUND, "No route opens a tunnel here."),
        _mapper(_details("== 'absolute_path_rejected'"), 404, ErrorCode.ROUTE_NOT_FOUND, "The path is none."),
    ]


def _upstream() -> list[Tree]:
    """Requests that had a backend and did not reach it, or got no answer from it."""
    nobody = _flags("UH")
    return [
        _mapper(
            _both(nobody, _cel(_PICKED)), 503, ErrorCode.UPSTREAM_UNAVAILABLE, "No picked endpoint could be reached."
        ),
        _to_be_repeated(
            _mapper(
                _both(nobody, _cel(_FAIL_CLOSE)),
                503,
                ErrorCode.PICKER_UNAVAILABLE,
                "No endpoint picker chose an endpoint.",
            ),
            _RECOVERY,
        ),
        _to_be_repeated(_mapper(nobody, 503, ErrorCode.NO_READY_ENDPOINT, "No endpoint is ready."), _RECOVERY),
        _mapper(_flags("UT", "SI", "DT"), 504, ErrorCode.UPSTREAM_TIMEOUT, "The model server did not answer in time."),
        _mapper(
            _flags("UF", "UC", "UR", "LR", "UPE", "URX", "UO"),
            503,
            ErrorCode.UPSTREAM_UNAVAILABLE,
            "The model server could not be reached or broke off.",
        ),
    ]


def _mapper(condition: Tree, status: int, code: str, message: str, param: str | None = None) -> Tree:
    return {
        "filter": condition,
        "status_code": status,
        "body_format_override": {
            "json_format": {
                "error": {"message": message, "type": error_type(status), "param": param, "code": str(code)}
            },
            "content_type": "application/json",
        },
    }


def _to_be_repeated(mapper: Tree, seconds: str) -> Tree:
    """The reply says after how long it is worth another try; nothing where `seconds` is empty."""
    return {**mapper, "headers_to_add": [{"header": {"key": "retry-after", "value": seconds}}]}


def _known_models() -> list[Tree]:
    """The list that a route knows, for when no picker gives one. The route has it as metadata."""
    known = f"%METADATA(ROUTE:{names.CLUSTER_METADATA}:{names.MODELS_METADATA})%"
    return [
        {
            "filter": _models(names.KNOWN_MODELS),
            "status_code": 200,
            "body_format_override": {
                "text_format_source": {"inline_string": known},
                "content_type": "application/json",
            },
        }
    ]


def _flags(*flags: str) -> Tree:
    return {"response_flag_filter": {"flags": list(flags)}}


def _cel(expression: str) -> Tree:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": typed(
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=expression
            ),
        }
    }


def _details(condition: str) -> Tree:
    """By Envoy's response code details. In those of a picker's or router's reply stands its error code."""
    space = " " if condition.startswith("=") else ""
    return _cel(f"response.code_details{space}{condition}")


def _invalid(why: str, status: int) -> Tree:
    """The redirect to a normalised path has the details of a path that cannot be normalised."""
    return _cel(f"response.code_details == '{why}' && response.code == {status}")


def _route(name: str) -> Tree:
    return _both(_flags("NC"), _cel(f"xds.route_name == '{name}'"))


def _models(route: str) -> Tree:
    """Without a cluster of its own, or with a picker's HTTP transport as its cluster that cannot be reached."""
    return _both(_flags("NC", "UH", "UF", "UC", "UT", "URX"), _cel(f"xds.route_name == '{route}'"))


def _absent(status: str) -> Tree:
    return _both(_flags("NC"), _cel(f"response.code == {status}"))


def _both(*conditions: Tree) -> Tree:
    return {"and_filter": {"filters": list(conditions)}}
