"""Where in a request's JSON a byte of its canonical prompt comes from. Pure.

Reads the body a second time, so ask for few requests only. Names fields and positions, never text.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import orjson

from epp.domain import Request
from epp.prompts.apis import Api
from epp.prompts.families import family_of
from epp.prompts.invalid import Place, RefusedError, shown
from epp.prompts.parsing import write_prompt
from epp.prompts.writer import Writer


def locate(request: Request, api: Api, start: int, end: int, volatile_lines: Sequence[str] = ()) -> str | None:
    """The field at which a prompt leaves another one, like `messages[3].content[1].text`.

    All that is known is that both are equal up to `start` and differ before `end`. Differences begin most often where a
    field does: the answer is the first field that begins there, or else the one that goes on. None without a prompt.
    """
    try:
        body = orjson.loads(request.body)
        if not isinstance(body, dict):
            return None
        model = body.get("model")
        writer = Writer(family_of(model if isinstance(model, str) else ""), volatile_lines)
        writer.places = []
        write_prompt(writer, api, body)
    except (RefusedError, orjson.JSONDecodeError):
        return None
    return _named(writer.pieces, writer.places or (), start, end)


def _named(pieces: Sequence[bytes], places: Sequence[tuple[int, Place]], start: int, end: int) -> str | None:
    if not places:
        return None
    offsets = [0, *accumulate(map(len, pieces))]
    begins = [offsets[at] for at, _ in places]
    first = bisect_right(begins, start)  # the first that begins after `start`
    if first < len(places) and begins[first] < end:
        begin = begins[first]
        while first + 1 < len(places) and begins[first + 1] == begin:  # a field begins with its own first part
            first += 1
        return shown(places[first][1])
    return shown(places[first - 1][1]) if first else None
