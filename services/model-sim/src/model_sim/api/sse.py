"""Server-sent events: bytes of one event."""

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


def data(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"
