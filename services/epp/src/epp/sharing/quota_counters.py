"""Counters of quotas in Redis, shared by all replicas. A shell on redis.asyncio; implements `Counters`.

One task sends what came in since it last did, in one round trip: first what was used, then the requests that wait for
an answer. One script does both, so that a request takes from all of its counters or from none. What was used is summed
up until Redis has it, under an id by which a batch that is sent twice counts once. While Redis cannot be reached, no
request waits: each is told at once that nothing is known.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol
from uuid import uuid4

from epp.sharing.redis_address import Address, Password
from epp.sharing.redis_client import FAILURES, Client, close, connect, is_cancelled
from gateway.quotas.counters import Claim, Counts, Taken
from gateway.quotas.windows import DAY, SLOTS, Window
from gateway.service import logs

log = logs.get(__name__)

PREFIX: Final = "pointsman:quota:1:"
CALL_SECONDS: Final = 0.2  # less than Envoy waits for a rate limit service
PAUSE_SECONDS: Final = 0.5  # between tries while Redis cannot be reached
MOST_WAITING: Final = 10_000  # requests; the rest is told that nothing is known
MOST_TOGETHER: Final = 256  # requests in one round trip: some milliseconds of Redis
MOST_UNSENT: Final = 100_000  # sums that wait for Redis, about 20 MB; what is beyond is lost, and counted as such

# KEYS: counters. ARGV: the key of the batch or nothing, then for each counter: oldest slot, slot, amount, limit or -1,
# seconds that the counter lives. A batch is known for an hour.
_SCRIPT: Final = """
if ARGV[1] ~= '' and not redis.call('SET', ARGV[1], '1', 'NX', 'EX', 3600) then
  return {}
end
local found, has_room = {}, true
for i, key in ipairs(KEYS) do
  local at = i * 5 - 3
  local oldest, limit, sum, kept = tonumber(ARGV[at]), tonumber(ARGV[at + 3]), 0, {}
  local fields = redis.call('HGETALL', key)
  for j = 1, #fields, 2 do
    if tonumber(fields[j]) < oldest then
      redis.call('HDEL', key, fields[j])
    else
      kept[#kept + 1], kept[#kept + 2] = fields[j], fields[j + 1]
      sum = sum + tonumber(fields[j + 1])
    end
  end
  found[i] = kept
  has_room = has_room and (limit < 0 or sum < limit)
end
if has_room then
  for i, key in ipairs(KEYS) do
    local at = i * 5 - 3
    if tonumber(ARGV[at + 2]) ~= 0 then
      redis.call('HINCRBY', key, ARGV[at + 1], ARGV[at + 2])
      redis.call('EXPIRE', key, ARGV[at + 4])
    end
  end
end
return found
"""


class CounterMetrics(Protocol):
    """What an operator counts."""

    def lost(self, amount: int) -> None:
        """So much was used and will be counted nowhere."""


class _Waiting(NamedTuple):
    claims: Sequence[Claim]
    now: float
    taken: Taken


class _Sum(NamedTuple):
    """What was used in one slot of one counter."""

    key: str
    window: Window
    slot: int


class _Batch(NamedTuple):
    id: str
    sums: Mapping[_Sum, int]


class RedisCounters:
    """Run `run` beside whoever takes and adds."""

    def __init__(self, address: Address, metrics: CounterMetrics, *, password: Password | None = None) -> None:
        self._address, self._password, self._metrics = address, password, metrics
        self._waiting: deque[_Waiting] = deque()
        self._sums: dict[_Sum, int] = {}
        self._batch: _Batch | None = None  # sent, perhaps, and not known to have arrived
        self._filled = asyncio.Event()
        self._is_reachable = True

    def take(self, claims: Sequence[Claim], now: float, taken: Taken) -> None:
        """Ask Redis soon; at once with nothing where it cannot be reached."""
        if not self._is_reachable or len(self._waiting) >= MOST_WAITING:
            taken(None)
            return
        self._waiting.append(_Waiting(claims, now, taken))
        self._filled.set()

    def add(self, claims: Sequence[Claim], now: float) -> None:
        """Send it soon."""
        for claim in claims:
            place = _Sum(claim.key, claim.window, claim.window.slot(now))
            if place not in self._sums and len(self._sums) >= MOST_UNSENT:
                self._metrics.lost(max(0, claim.amount))
            elif claim.amount:
                self._sums[place] = self._sums.get(place, 0) + claim.amount
        self._filled.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while not is_cancelled():
                redis = connect(self._address, self._password, CALL_SECONDS)
                try:
                    await self._serve(redis)
                except FAILURES as error:
                    self._failed(str(error))
                    await asyncio.sleep(PAUSE_SECONDS)
                finally:
                    await close(redis)
        finally:
            self._release_waiting()

    async def _serve(self, redis: Client) -> None:
        script: str = await redis.script_load(_SCRIPT)  # a Redis that loses it counts as unreachable until the next try
        while not is_cancelled():
            if self._is_reachable:
                await self._filled.wait()
            else:
                await redis.ping()
            self._filled.clear()
            await self._charge(redis, script)
            await self._answer(redis, script)
            if not self._is_reachable:
                self._is_reachable = True
                log.info("quotas are counted in Redis again")

    async def _charge(self, redis: Client, script: str) -> None:
        while self._batch is not None or self._sums:
            if self._batch is None:
                self._batch, self._sums = _Batch(uuid4().hex, self._sums), {}
            sums = list(self._batch.sums.items())
            for at in range(0, len(sums), MOST_TOGETHER):
                part = sums[at : at + MOST_TOGETHER]
                arguments = [f"{PREFIX}batch:{self._batch.id}:{at}"]
                for place, amount in part:
                    arguments += _arguments(place.window, place.slot - _slots(place.window), place.slot, amount, None)
                keys = [PREFIX + place.key for place, _ in part]
                await _evaluated(redis.evalsha(script, len(keys), *keys, *arguments))
            self._batch = None

    async def _answer(self, redis: Client, script: str) -> None:
        while self._waiting:
            batch = [self._waiting[at] for at in range(min(len(self._waiting), MOST_TOGETHER))]
            pipeline = redis.pipeline(transaction=False)
            for claims, now, _ in batch:
                arguments = [""]
                for claim in claims:
                    window = claim.window
                    arguments += _arguments(window, window.first(now), window.slot(now), claim.amount, claim.limit)
                pipeline.evalsha(script, len(claims), *(PREFIX + claim.key for claim in claims), *arguments)
            found: Any = await pipeline.execute()
            for (_, _, taken), counted in zip(batch, found, strict=True):
                self._waiting.popleft()
                taken([_counts(each) for each in counted])

    def _failed(self, reason: str) -> None:
        if self._is_reachable:
            self._is_reachable = False
            log.warning("quotas cannot be counted in Redis; requests are not checked there", reason=reason)
        self._release_waiting()

    def _release_waiting(self) -> None:
        while self._waiting:
            self._waiting.popleft().taken(None)


async def _evaluated(script: Awaitable[Any] | Any) -> None:
    """The client's types know no asynchronous scripts."""
    await script


def _slots(window: Window) -> int:
    return 0 if window.seconds is None else SLOTS


def _arguments(window: Window, oldest: int, slot: int, amount: int, limit: int | None) -> list[str]:
    lives = 32 * DAY if window.seconds is None else window.seconds * (1 + 2 / SLOTS)
    return [str(oldest), str(slot), str(amount), str(-1 if limit is None else limit), str(int(lives) + 1)]


def _counts(fields: Sequence[bytes]) -> Counts:
    numbers = [*map(int, fields)]
    return sorted(zip(numbers[::2], numbers[1::2], strict=True))
