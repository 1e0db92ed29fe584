"""Envoy's own replies in the one shape that every error of this project has. Pure.

Each mapper names exactly the replies it is for: an answer that a picker or the body-based router gave by ext_proc also
passes here and must stay as it is. What no mapper matches stays too.
"""

from typing import Final

from controlplane import names
from controlplane.names import Tree, typed
from gateway import protocol
from gateway.errors import ErrorCode, error_type

_PICKED: Final = (
    f"has(metadata.filter_metadata['{protocol.LB_NAMESPACE}']) && "
    f"'{protocol.DESTINATION_ENDPOINT}' in metadata.filter_metadata['{protocol.LB_NAMESPACE}']"
)


def local_reply_config() -> Tree:
    """In order: the first mapper that matches shapes the reply."""
    model = f"The model '%REQ({protocol.MODEL_NAME})%' does not exist."
    return {
        "mappers": [
            _mapper(_route(names.MODEL_NOT_FOUND), 404, ErrorCode.MODEL_NOT_FOUND, model, "model"),
            _mapper(
                _route(names.MODEL_MISSING), 400, ErrorCode.INVALID_REQUEST, "The request names no model.", "model"
            ),
            _mapper(_route(names.MODELS), 503, ErrorCode.PICKER_UNAVAILABLE, "No endpoint picker lists the models."),
            _mapper(_route(names.INVALID_BACKEND), 500, ErrorCode.INTERNAL, "The route leads to no backend."),
            _mapper(_flags("NR", "NC"), 404, ErrorCode.ROUTE_NOT_FOUND, "No route serves %REQ(:METHOD)% %PATH(NQ)%."),
            _mapper(
                _cel("response.code_details == 'request_payload_too_large'"),
                413,
                ErrorCode.REQUEST_TOO_LARGE,
                "The request body is larger than this gateway takes.",
            ),
            _mapper(
                _cel("response.code_details.startsWith('ext_proc_error')"),
                503,
                ErrorCode.PICKER_UNAVAILABLE,
                "The request could not be examined: its processor failed.",
            ),
        ]
    }


def _mapper(condition: Tree, status: int, code: ErrorCode, message: str, param: str | None = None) -> Tree:
    return {
        "filter": condition,
        "status_code": status,
        "body_format_override": {
            "json_format": {
                "error": {"message": message, "type": error_type(status), "param": param, "code": code.value}
            },
            "content_type": "application/json",
        },
    }


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


def _route(name: str) -> Tree:
    return {"and_filter": {"filters": [_flags("NC"), _cel(f"xds.route_name == '{name}'")]}}
