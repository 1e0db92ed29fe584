"""Replaces the value of the top-level `model` in a JSON body; every other byte stays as it was.

Pure. The body must already have been parsed as a JSON object: the scan trusts its syntax. Of a repeated key the last
counts, as for the parser.
"""

import re

import orjson

# Strings whole, structure characters one by one, everything else (numbers, true, null) in one piece. Possessive, so
# that a long string costs one step and no backtracking.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)


def replace_model(body: bytes, model: str) -> bytes:
    """The body with another model."""
    span = model_span(body)
    if span is None:
        return body
    return b"".join((body[: span[0]], orjson.dumps(model), body[span[1] :]))


def model_span(body: bytes) -> tuple[int, int] | None:
    """Where the value of the last top-level `model` key stands."""
    depth, expects_key, is_model, found = 0, False, False, None
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"{[":
            depth += 1
            expects_key = depth == 1
        elif first in b"}]":
            depth -= 1
        elif depth != 1:
            continue
        elif first == 0x2C:  # a comma
            expects_key = True
        elif first == 0x3A:  # a colon
            expects_key = False
        elif expects_key:
            is_model = orjson.loads(token.group()) == "model"
        elif is_model:
            found = token.span()
    return found
