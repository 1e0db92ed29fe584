"""What is wrong with a body of which Envoy could make no model that a route is for.

Pure. It refuses what the body-based router refuses for the other transport, and leaves the rest to Envoy's own answer.
"""

from collections.abc import Mapping

import orjson

from gateway.wire import refusals
from gateway.wire.bodies import refusal_of_structure
from gateway.wire.errors import Rejection
from gateway.wire.models import is_json, is_model_name
from gateway.wire.protocol import CONTENT_ENCODING


def objection(headers: Mapping[str, str], body: bytes) -> Rejection | None:
    """Why such a body is refused; None for one that names no model, or a good one."""
    if not body or not is_json(headers.get("content-type", "")):
        return None
    refusal = refusal_of_structure(body)
    if refusal is not None:
        return refusal
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return refusals.invalid_json(error)
    if not isinstance(document, dict):
        return refusals.not_an_object(document)
    model = document.get("model")
    if model is None:
        return None
    if not isinstance(model, str):
        return refusals.model_not_a_string(model)
    if not is_model_name(model):
        return refusals.not_a_name()
    encoding = headers.get(CONTENT_ENCODING)
    return None if encoding is None else refusals.model_is_compressed(encoding)
