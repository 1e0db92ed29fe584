"""Host names become all their addresses, again every second.

Shell around the system's resolver, which blocks: lookups run in a few threads of their own, and a name whose lookup
hangs keeps what it had without delaying the others.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gateway.service import clock

GRACE_SECONDS: Final = 5.0  # a restarting DNS server must not empty a pool; a scaled-down replica is gone soon enough
LOOKUP_THREADS: Final = 8  # names are few; more would only queue at the DNS server
LOOKUP_WAIT_SECONDS: Final = 0.5  # what one round waits for slow answers; they count in a later round

Lookup = Callable[[str], tuple[str, ...]]


def system_lookup(name: str) -> tuple[str, ...]:
    """Every address of a name, IPv4 before IPv6; empty when it has none."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    found = {str(answer[4][0]) for answer in answers}
    return tuple(sorted(found, key=lambda address: (":" in address, address)))


@dataclass(frozen=True, slots=True)
class Answer:
    addresses: tuple[str, ...]
    at: float


def fold(
    known: Mapping[str, Answer], names: frozenset[str], results: Mapping[str, tuple[str, ...]], now: float
) -> Mapping[str, Answer]:
    """What is known after a round: fresh answers, and for a grace those of names that stopped resolving."""
    folded = {}
    for name in sorted(names):
        fresh, old = results.get(name), known.get(name)
        if fresh:
            folded[name] = Answer(fresh, now)
        elif old is not None and (fresh is None or now - old.at < GRACE_SECONDS):
            folded[name] = old
    return folded


class Resolver:
    """Keeps the addresses of a changing set of names. `close` ends its threads."""

    def __init__(self, lookup: Lookup = system_lookup, now: clock.Clock = clock.monotonic) -> None:
        self._lookup = lookup
        self._now = now
        self._known: Mapping[str, Answer] = {}
        self._pending: dict[str, asyncio.Future[tuple[str, ...]]] = {}
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="resolve")

    async def resolve(self, names: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
        """Look every name up once; the addresses known after that. Names that are no longer wanted are forgotten."""
        loop = asyncio.get_running_loop()
        for name in names - self._pending.keys():
            self._pending[name] = loop.run_in_executor(self._threads, self._lookup, name)
        if self._pending:
            await asyncio.wait(self._pending.values(), timeout=LOOKUP_WAIT_SECONDS)
        done = {name: future.result() for name, future in self._pending.items() if future.done()}
        for name in done:
            del self._pending[name]
        self._known = fold(self._known, names, done, self._now())
        return {name: answer.addresses for name, answer in self._known.items()}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
