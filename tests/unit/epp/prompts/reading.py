"""Reads bodies for the tests of this folder."""

from collections.abc import Mapping, Sequence

import orjson

from epp.domain import Request
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def read(
    api: str, body: Mapping[str, object], *, headers: Mapping[str, str] | None = None, volatile: Sequence[str] = ()
) -> InferenceRequest:
    """An accepted request."""
    raw = orjson.dumps({"model": "m", **body})
    found = parse(Request(None, "POST", PATHS[api], headers or {}, raw), volatile_lines=volatile)
    assert isinstance(found, InferenceRequest), found
    return found


def shared(one: bytes, other: bytes) -> int:
    """Bytes at the start that both have."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
