"""Bodies that were read when a request was routed, for the endpoint pick of the same request. Pure, bounded.

In a fused process the proxy hands a body over once, to the router, whose answer gives it an id; the question for an
endpoint brings the id instead of the body. An id is good once. One that is not known here, after a restart or in
another replica, costs that question the body again.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Between the two questions lies the choice of a route; the rest is for a busy host.
KEPT_SECONDS: Final = 10.0
KEPT_LIMIT: Final = 4096
# Two bodies of the largest size, or 1000 prompts of 128 KB.
KEPT_LIMIT_BYTES: Final = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KeptBody:
    """`body` as it came; `document` is its JSON object, None where it is none."""

    body: bytes
    document: Mapping[str, object] | None
    kept_at: float


class KeptBodies:
    """Oldest first. `owner` tells the ids of this process from those of others."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._number = 0
        self._kept: OrderedDict[str, KeptBody] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, body: bytes, document: Mapping[str, object] | None, now: float) -> str:
        """The id under which this body may be asked for, for a while."""
        self._number += 1
        id_ = f"{self._owner}-{self._number:x}"
        self._kept[id_] = KeptBody(body, document, now)
        self._bytes += len(body)
        while self._kept and self._is_too_much(now):
            self._forget(next(iter(self._kept)))
        return id_

    def take(self, id_: str) -> KeptBody | None:
        """The body of an id, once."""
        return self._forget(id_) if id_ in self._kept else None

    def _is_too_much(self, now: float) -> bool:
        oldest = next(iter(self._kept.values()))
        is_old = now - oldest.kept_at > KEPT_SECONDS
        return is_old or len(self._kept) > KEPT_LIMIT or self._bytes > KEPT_LIMIT_BYTES

    def _forget(self, id_: str) -> KeptBody:
        found = self._kept.pop(id_)
        self._bytes -= len(found.body)
        return found
