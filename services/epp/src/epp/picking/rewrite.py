"""Replaces the value of the top-level `model` in a JSON body; every other byte stays as it was.

Pure. The body must already have been parsed as a JSON object: the scan trusts its syntax. Of a repeated key the last
counts, as for the parser.
"""

import re

import orjson

# Strings whole, structure characters one by one, everything else (numbers, true, null) in one piece. Possessive, so
# that a long string costs one step and no backtracking.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(_STRING + rb'|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
# Inside a value only brackets count: all between two of them, strings whole, is one step.
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+[{}\[\]]", re.DOTALL)


def replace_model(body: bytes, model: str) -> bytes:
    """The body with another model."""
    span = model_span(body)
    if span is None:
        return body
    return b"".join((body[: span[0]], orjson.dumps(model), body[span[1] :]))


def model_span(body: bytes) -> tuple[int, int] | None:
    """Where the value of the last top-level `model` key stands."""
    at, expects_key, is_model, found = body.find(b"{") + 1, True, False, None
    while token := _TOKEN.search(body, at):
        at, first = token.end(), body[token.start()]
        if first in b"{[":
            at = _end_of_value(body, at)
        elif first == 0x7D:  # the object's own closing brace
            break
        elif first == 0x2C:  # a comma
            expects_key = True
        elif first == 0x3A:  # a colon
            expects_key = False
        elif expects_key:
            is_model = first == 0x22 and orjson.loads(token.group()) == "model"
        elif is_model:
            found = token.span()
    return found


def _end_of_value(body: bytes, at: int) -> int:
    """Where the object or array ends whose first bracket is just before `at`."""
    depth = 1
    while depth and (bracket := _BRACKET.match(body, at)):
        at = bracket.end()
        depth += 1 if body[at - 1] in b"{[" else -1
    return at
