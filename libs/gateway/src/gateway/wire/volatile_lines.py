"""Takes volatile lines out of a JSON body; every other byte stays as it was. Pure.

For engines that do not strip them themselves: there, a line that changes with every request ends each match. A pattern
is the start of a line within a string, compared literally; the cost is linear in the body. Claude Code's billing line
is known by its own members, so that no text of a user's is taken for it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import orjson

_BILLING: Final = re.compile(
    rb'(?i:x-anthropic-billing-header) *:[^"\\]{0,400}?(?:cch|cc_version)=[^"\\]{0,400}+(?:\\n|(?="))'
)
# To the end of the line, or of the string: characters and escapes, then the line's end.
_REST: Final = re.compile(rb'(?:[^"\\]++|\\[^n])*+(?:\\n)?', re.DOTALL)
# To the end of the string, and behind it, the colon that makes it a member's name.
_STRING_REST: Final = re.compile(rb'(?:[^"\\]++|\\.)*+"(\s*:)?', re.DOTALL)
_BACKSLASH: Final = 0x5C

# Each beginning of a line is one search through the whole body.
STARTS_LIMIT: Final = 32
START_LENGTHS: Final = (3, 200)

Span = tuple[int, int]


def without_volatile_lines(body: bytes, starts: Sequence[str]) -> bytes:
    """The body, a JSON document, without lines of its strings that begin like this, and without billing lines."""
    spans = _of_values(body, [match.span() for match in _BILLING.finditer(body) if _begins_line(body, match.start())])
    for start in starts:
        spans += _of_values(body, _lines(body, orjson.dumps(start)[1:-1]))
    if not spans:
        return body
    return b"".join(body[end:begin] for (_, end), (begin, _) in pairwise([(0, 0), *_joined(spans), (len(body), 0)]))


def problem(starts: Sequence[str]) -> str | None:
    """What is wrong with a list of beginnings of lines, or None."""
    if len(starts) > STARTS_LIMIT:
        return f"at most {STARTS_LIMIT} beginnings of lines may be listed"
    shortest, longest = START_LENGTHS
    if all(shortest <= len(start) <= longest and "\n" not in start for start in starts):
        return None
    return f"the beginning of a line has {shortest} to {longest} characters, all of one line"


def _lines(body: bytes, start: bytes) -> Iterator[Span]:
    at = 0
    while (at := body.find(start, at)) >= 0:
        rest = _REST.match(body, at)
        end = at + len(start) if rest is None else max(rest.end(), at + 1)
        if _begins_line(body, at):
            yield at, end
        at = end


def _of_values(body: bytes, spans: Iterable[Span]) -> list[Span]:
    """Those, in order, that are no part of a member's name. The end of each string is looked for once."""
    found: list[Span] = []
    string_end, is_name = 0, False
    for begin, end in spans:
        if begin >= string_end:
            rest = _STRING_REST.match(body, begin)
            string_end, is_name = (len(body), False) if rest is None else (rest.end(), rest.group(1) is not None)
        if not is_name:
            found.append((begin, end))
    return found


def _begins_line(body: bytes, at: int) -> bool:
    """Whether a string, or a line within one, begins there."""
    if body[at - 1 : at] == b'"':
        return not _is_escaped(body, at - 1)
    return body[at - 2 : at] == b"\\n" and not _is_escaped(body, at - 2)


def _is_escaped(body: bytes, at: int) -> bool:
    """Whether an odd number of backslashes stands before it."""
    first = at
    while first and body[first - 1] == _BACKSLASH:
        first -= 1
    return (at - first) % 2 == 1


def _joined(spans: Sequence[Span]) -> list[Span]:
    """In order, without overlaps."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
