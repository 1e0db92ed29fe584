"""What the operators' port of several workers shows of all of them: the decisions of each, in one list. Pure."""

from collections.abc import Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Final

import orjson

from epp.app.debug import DECISIONS_LIMIT
from gateway.workers.operators import Pages


def decisions(bodies: Sequence[tuple[int, bytes]]) -> bytes:
    """The lists of all workers, newest first, each decision with its worker."""
    found = [{**each, "worker": worker} for worker, body in bodies for each in orjson.loads(body)["decisions"]]
    found.sort(key=itemgetter("at"), reverse=True)
    return orjson.dumps({"decisions": found[:DECISIONS_LIMIT]}, option=orjson.OPT_INDENT_2) + b"\n"


PAGES: Final = Pages(
    MappingProxyType({"/debug/decisions": decisions}),
    MappingProxyType({"/debug/stream": frozenset({b"decisions"})}),
)
