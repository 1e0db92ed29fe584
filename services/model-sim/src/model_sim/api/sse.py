"""Server-sent events: the bytes of one event. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


def data(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"


def ending(prefix: bytes, usage: Mapping[str, Any] | None) -> bytes:
    """How OpenAI's streams end: an event with the usage, if requested, in a frame opened by `prefix`, and the mark."""
    if usage is None:
        return DONE
    return prefix + b'],"usage":' + orjson.dumps(usage) + b"}\n\n" + DONE
