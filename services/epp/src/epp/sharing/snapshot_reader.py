"""Reads what another replica laid down for this one, or for all. A shell on redis-py."""

import asyncio
import secrets
from time import monotonic
from typing import Any, Final

from epp.domain import PoolId, SharedEvent
from epp.sharing import codec
from epp.sharing.redis_client import Client, raise_if_cancelled
from epp.sharing.stream_keys import (
    BEGINNING,
    END,
    EVENTS,
    SENDER,
    STREAM_LENGTH,
    WANTED,
    snapshot_of,
    stream_of,
)

# A replica that lives has claimed a request by then.
CLAIM_SECONDS: Final = 2.0
# One that claimed it and writes nothing for so long is gone.
STALL_SECONDS: Final = 3.0
# Who wrote within this time is taken to live: some heartbeats.
LIVES_SECONDS: Final = 3
_LOOK_MESSAGES: Final = 1000
# Of one snapshot: what a hostile writer may make this process hold. Ten million blocks have eighty.
SNAPSHOT_BYTES_LIMIT: Final = 512 * 1024 * 1024


class SnapshotReader:
    """Of one pool; raises what the client raises."""

    def __init__(self, redis: Client, sender: str, pool: PoolId) -> None:
        self._redis = redis
        self._sender = sender.encode()
        self._pool = pool

    async def request(self, seconds_now: int) -> tuple[SharedEvent, ...] | None:
        """All that a replica that lives knows; None where none answers. `seconds_now` is Redis's time."""
        if not await self._has_peers(seconds_now):
            return None
        name = secrets.token_hex(8)
        fields: dict[Any, Any] = {SENDER: self._sender, WANTED: name}
        await self._redis.xadd(stream_of(self._pool), fields, maxlen=STREAM_LENGTH, approximate=True)
        return await self._read(name, CLAIM_SECONDS)

    async def offered(self, name: str) -> tuple[SharedEvent, ...]:
        """A snapshot that a replica has written already; nothing where it is not there, or is not whole."""
        return await self._read(name, 0.0) or ()

    async def _read(self, name: str, patience: float) -> tuple[SharedEvent, ...] | None:
        key, at, size, began = snapshot_of(self._pool, name), BEGINNING, 0, monotonic()
        events: list[SharedEvent] = []
        while True:
            raise_if_cancelled()
            wait = patience if at == BEGINNING else STALL_SECONDS
            found: Any = await self._redis.xread({key: at}, count=4, block=100 if wait else None)
            messages = found[0][1] if found else ()
            if not messages and monotonic() - began > wait:
                return None
            for place, fields in messages:
                at, began, message = place.decode(), monotonic(), fields.get(EVENTS, b"")
                size += len(message)
                if size > SNAPSHOT_BYTES_LIMIT:
                    raise codec.MalformedError("a snapshot is larger than anything a replica knows")
                events += codec.decode(message)
                if END in fields:
                    return tuple(events)
                await asyncio.sleep(0)

    async def _has_peers(self, seconds_now: int) -> bool:
        since = f"{max(0, seconds_now - LIVES_SECONDS) * 1000}-0"
        found: Any = await self._redis.xrange(stream_of(self._pool), min=since, count=_LOOK_MESSAGES)
        return any(fields.get(SENDER) != self._sender for _, fields in found or ())
