"""Why was this not cached? Where prompts leave what is cached, and what engines then had in their caches. Pure.

A place is a field of the JSON, never text. Finding it means to read the body again, so only a bounded number of
decisions a second are looked into; the others show how far they matched all the same.
"""

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from epp.datalayer.placement import Placement
from epp.domain import Feedback, PickId, PoolId
from epp.picking.prepare import Prepared
from epp.prompts.locating import locate
from epp.prompts.writer import BYTES_PER_TOKEN

# A look takes as long as reading the body: 0.1 ms for 32 KB, some milliseconds for megabytes.
LOOKS_PER_SECOND: Final = 10
LOOK_BYTES_LIMIT: Final = 2_000_000
# Fields counted by pool; a client can invent as many tools as it likes.
FIELDS_LIMIT: Final = 200
OTHER: Final = "other"
TOP_FIELDS: Final = 20
# Hit shares are kept for so many minutes.
MINUTES_LIMIT: Final = 60
# Engines' counts of the latest decisions: as many as decisions are kept.
ANSWERS_LIMIT: Final = 1000
# Turns are many and each conversation's own: their number says nothing.
_TURN: Final = re.compile(r"^(messages|input|items)\[\d+\]")


class Parting(NamedTuple):
    """Where a prompt left what is cached anywhere. `field` is None where nobody looked."""

    matched_tokens: int
    bytes_after: int
    field: str | None


class Minute(NamedTuple):
    """Tokens of the answers of one minute: of prompts, those expected to be cached, and those that were."""

    started_at: float
    prompt: float
    expected: float
    cached: float


class PoolCaching:
    """One pool. Fields count the bytes behind the place where prompts part."""

    def __init__(self) -> None:
        self.fields: Counter[str] = Counter()
        self.minutes: deque[Minute] = deque(maxlen=MINUTES_LIMIT)
        self.prompt = self.expected = self.cached = 0.0

    def parted(self, field: str, bytes_after: int) -> None:
        """A prompt left the known chain."""
        known = field in self.fields or len(self.fields) < FIELDS_LIMIT
        self.fields[field if known else OTHER] += bytes_after

    def answered(self, figures: tuple[float, float, float], now: float) -> None:
        """One answer's prompt tokens, those expected cached, and those that were."""
        prompt, expected, cached = figures
        self.prompt, self.expected, self.cached = self.prompt + prompt, self.expected + expected, self.cached + cached
        started_at = now // 60 * 60
        if not self.minutes or self.minutes[-1].started_at != started_at:
            self.minutes.append(Minute(started_at, 0.0, 0.0, 0.0))
        last = self.minutes[-1]
        self.minutes[-1] = Minute(started_at, last.prompt + prompt, last.expected + expected, last.cached + cached)


class CacheLog:
    """All pools, and the engines' counts of the latest decisions."""

    def __init__(self) -> None:
        self._pools: dict[PoolId, PoolCaching] = {}
        self._answers: OrderedDict[PickId, int] = OrderedDict()
        self._second = 0.0
        self._looks = 0

    def placed(self, prepared: Prepared, longest: int, now: float, volatile: tuple[str, ...] = ()) -> Parting | None:
        """How far a prompt matched anywhere, in blocks; None where it has none, or matched whole."""
        if longest >= len(prepared.blocks):
            return None
        size, parsed = prepared.block_tokens * BYTES_PER_TOKEN, prepared.parsed
        start = longest * size
        after = len(parsed.canonical) - start
        field = None
        if self._may_look(now) and len(prepared.request.body) <= LOOK_BYTES_LIMIT:
            field = locate(prepared.request, parsed.api, start, start + size, volatile)
            if field is not None:
                self._of(prepared.spec.id).parted(_TURN.sub(r"\1[]", field), after)
        return Parting(longest * prepared.block_tokens, after, field)

    def reported(self, placement: Placement, feedback: Feedback, now: float) -> None:
        """An engine counted the cached tokens of an answer."""
        prompt, cached = feedback.prompt_tokens, feedback.cached_tokens
        if not prompt or cached is None or not placement.prompt_tokens:
            return
        expected = placement.matched_tokens / placement.prompt_tokens * prompt
        self._of(placement.pool).answered((prompt, expected, min(cached, prompt)), now)
        self._answers[placement.id] = cached
        if len(self._answers) > ANSWERS_LIMIT:
            self._answers.popitem(last=False)

    def cached_tokens(self, pick_id: PickId) -> int | None:
        """What the engine had of a pick's prompt, as it counted; None where it did not say."""
        return self._answers.get(pick_id)

    def describe(self, started_at: float = 0.0) -> list[dict[str, object]]:
        """Each pool; `started_at` is where times count from, in seconds since the epoch."""
        return [_describe(id_, pool, started_at) for id_, pool in sorted(self._pools.items())]

    def totals(self) -> Mapping[PoolId, PoolCaching]:
        """Each pool's counts since the start, for metrics."""
        return self._pools

    def _of(self, pool: PoolId) -> PoolCaching:
        known = self._pools.get(pool)
        if known is None:
            known = self._pools[pool] = PoolCaching()
        return known

    def _may_look(self, now: float) -> bool:
        if not 0 <= now - self._second < 1:
            self._second, self._looks = now, 0
        self._looks += 1
        return self._looks <= LOOKS_PER_SECOND


def _describe(id_: PoolId, pool: PoolCaching, started_at: float) -> dict[str, object]:
    total = max(1, pool.fields.total())
    return {
        "pool": id_,
        "expected_share": _share(pool.expected, pool.prompt),
        "real_share": _share(pool.cached, pool.prompt),
        "parts_at": [
            {"field": field, "share_of_bytes": round(count / total, 4)}
            for field, count in pool.fields.most_common(TOP_FIELDS)
        ],
        "minutes": [
            {
                "at": round(started_at + minute.started_at),
                "expected_share": _share(minute.expected, minute.prompt),
                "real_share": _share(minute.cached, minute.prompt),
            }
            for minute in pool.minutes
        ],
    }


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
