"""What is wrong with a body of which Envoy could make no model that a route is for.

Pure. It refuses what the body-based router refuses behind the other door, and leaves the rest to Envoy's own answer.
"""

from collections.abc import Mapping

import orjson

from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.models import MODEL_LIMIT, is_json, is_model_name


def objection(headers: Mapping[str, str], body: bytes) -> Rejection | None:
    """Why such a body is refused; None for one that names no model, or a good one."""
    if not body or not is_json(headers.get("content-type", "")):
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Rejection(400, ErrorCode.INVALID_JSON, f"the body is not valid JSON: {error}")
    if not isinstance(document, dict):
        return Rejection(400, ErrorCode.INVALID_REQUEST, "the body must be a JSON object")
    model = document.get("model")
    if model is None or (isinstance(model, str) and is_model_name(model)):
        return None
    message = f"'model' must be a string, a name of at most {MODEL_LIMIT} printable characters"
    return Rejection(400, ErrorCode.INVALID_REQUEST, message, "model")
