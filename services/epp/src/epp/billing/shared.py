"""The bill in Redis, for all replicas. A shell on redis.asyncio. A day is a hash, which leaves by itself."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from redis.exceptions import RedisError

from epp.billing.totals import Line, Totals
from epp.sharing.redis_address import Address, Password
from epp.sharing.redis_client import close, connect
from gateway.quotas.windows import DAY

PREFIX: Final = "pointsman:bill:1:"
BATCH_SECONDS: Final = 3600  # for which a batch is known, so that one that is sent twice counts once
_BATCH: Final = 500  # fields in one call
# KEYS: the batch, then the day of each count. ARGV: seconds that a day lives and a batch is known, then for each count
# its field and amount.
_SCRIPT: Final = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then
  return 0
end
for i = 2, #KEYS do
  redis.call('HINCRBY', KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
  redis.call('EXPIRE', KEYS[i], ARGV[1])
end
return 1
"""


class RedisStore:
    """A `Store` of all replicas. Raises OSError where Redis fails."""

    def __init__(self, address: Address, password: Password | None, days: int) -> None:
        self._redis, self._days = connect(address, password), days

    async def add(self, batch: str, sums: Mapping[Line, Totals], today: date) -> None:
        """In parts, each under an id of its own. Old days leave by themselves."""
        del today
        counts = list(_counts(sums))
        for at in range(0, len(counts), _BATCH):
            part = counts[at : at + _BATCH]
            keys = [f"{PREFIX}batch:{batch}:{at}", *(f"{PREFIX}{day}" for day, _, _ in part)]
            arguments = [str(int(self._days * DAY)), str(BATCH_SECONDS)]
            arguments += [word for _, field, amount in part for word in (field, str(amount))]
            evaluated: Any = self._redis.eval(_SCRIPT, len(keys), *keys, *arguments)
            with _failures():
                await evaluated

    async def read(self, since: str, until: str) -> Sequence[tuple[Line, Totals]]:
        """All days in one round trip."""
        found: dict[Line, dict[str, int]] = {}
        days = list(_days(since, until))
        pipeline = self._redis.pipeline(transaction=False)
        for day in days:
            pipeline.hgetall(f"{PREFIX}{day}")
        with _failures():
            answers = await pipeline.execute()
        for day, fields in zip(days, answers, strict=True):
            for written, amount in fields.items():
                tenant, model, kind = json.loads(written)
                found.setdefault(Line(day, tenant, model), {})[kind] = int(amount)
        return [(line, _totals(counts)) for line, counts in found.items()]

    async def close(self) -> None:
        """The connections."""
        await close(self._redis)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise OSError(str(error)) from error


def _totals(counts: Mapping[str, int]) -> Totals:
    return Totals(**{kind: counts.get(kind, 0) for kind in Totals._fields})


def _counts(sums: Mapping[Line, Totals]) -> Iterable[tuple[str, str, int]]:
    for line, totals in sums.items():
        for kind, amount in zip(Totals._fields, totals, strict=True):
            if amount:
                yield line.day, json.dumps([line.tenant, line.model, kind]), amount


def _days(since: str, until: str) -> Iterable[str]:
    day, last = date.fromisoformat(since), date.fromisoformat(until)
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
