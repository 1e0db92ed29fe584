"""A model server's /v1/models, read. Pure."""

from typing import Final

import orjson

from epp.domain import ServedModel

MAX_MODELS: Final = 1000  # of one endpoint's list; more is no list of adapters


def read_models(body: bytes) -> tuple[ServedModel, ...] | None:
    """The items of an answer; None when it is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    items = document.get("data") if isinstance(document, dict) else None
    if not isinstance(items, list):
        return None
    return tuple(ServedModel(item["id"], item) for item in items[:MAX_MODELS] if _is_model(item))


def _is_model(item: object) -> bool:
    """Whether it names a model, and can be written as it was read: a deeper nesting can be read than written."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    try:
        orjson.dumps({"data": [item]})
    except orjson.JSONEncodeError:
        return False
    return True
