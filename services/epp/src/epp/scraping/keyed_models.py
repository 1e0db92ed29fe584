"""Lists of models with the client's key: servers started with an API key list theirs to nobody else.

A shell between the transports and the picker. A GET of /v1/models that carries a key waits while the servers that
refused the picker's own request are asked with that key; all other requests pass through. A key is never kept, and it
goes only to servers of the pools that the route names, as it would with any other request of this client.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import orjson

from epp.domain import Endpoint, Outcome, PickId, PoolId, Reply, Request, ServedModel, Ticket, Verdict, Waiter
from epp.picking.answer import is_for_models
from gateway.service.clock import Clock

MAX_ENDPOINTS = 16
"""Asked for one list; replicas of a pool serve the same models but for adapters, and a list must not be an attack."""
MAX_LISTS = 64
"""At a time; beyond them a list is what is known without a key."""


Listing = Coroutine[Any, Any, tuple[ServedModel, ...]]


class RequestPicker(Protocol):
    """Decides about requests, at once or later."""

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """The verdict, or a ticket."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """A waiting request's client is gone."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over."""


class LockedServers(Protocol):
    """The servers that need a key."""

    def locked(self, pools: Collection[PoolId] | None) -> list[Endpoint]:
        """Those of these pools, or of all."""

    async def list_models(self, endpoint: Endpoint, authorization: str) -> tuple[ServedModel, ...]:
        """The models that one lists to this client; none where it lists none."""


class KeyedModels:
    """The picker as transports see it, with complete lists of models."""

    __slots__ = ("_clock", "_group", "_lists", "_number", "_picker", "_servers", "settle")

    def __init__(self, picker: RequestPicker, servers: LockedServers, clock: Clock) -> None:
        self._picker = picker
        self._servers = servers
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        self._lists: dict[Ticket, asyncio.Task[None]] = {}
        self._number = 0
        self.settle = picker.settle

    async def run(self) -> None:
        """Ask servers until cancelled; without this, lists are what is known without a key."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """The picker's verdict; a ticket where servers must be asked with the client's key."""
        verdict = self._picker.submit(request, waiter, now)
        authorization = request.headers.get("authorization")
        if authorization is None or not isinstance(verdict, Reply) or not is_for_models(request):
            return verdict
        locked = self._servers.locked(_named(request.pool))[:MAX_ENDPOINTS]
        if not locked or self._group is None or len(self._lists) >= MAX_LISTS or not authorization.isprintable():
            return verdict
        self._number -= 1  # the picker's own tickets count upwards
        ticket = Ticket(self._number)
        fetch = partial(self._servers.list_models, authorization=authorization)
        self._lists[ticket] = self._group.create_task(self._list(ticket, waiter, verdict, partial(map, fetch, locked)))
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> None:
        """The client of a waiting request is gone. Unknown tickets are ignored."""
        task = self._lists.pop(ticket, None)
        if task is not None:
            task.cancel()
        else:
            self._picker.cancel(ticket, now)

    async def _list(self, ticket: Ticket, waiter: Waiter, known: Reply, lists: Callable[[], Iterable[Listing]]) -> None:
        found = await asyncio.gather(*lists())
        if self._lists.pop(ticket, None) is not None:
            waiter.decide(Reply(_with(known.body, found)), self._clock())


def _named(pools: str | None) -> Collection[PoolId] | None:
    return None if pools is None else {PoolId(name.strip()) for name in pools.split(",")}


def _with(listing: bytes, found: Sequence[tuple[ServedModel, ...]]) -> bytes:
    """The list with further models: each once, base models before adapters, by name, as the picker lists them."""
    document = orjson.loads(listing)
    items = {item["id"]: item for item in document["data"]}
    for models in found:
        for model in models:
            items.setdefault(model.id, dict(model.item))
    ordered = sorted(items.values(), key=lambda item: (item.get("parent") is not None, item["id"]))
    return orjson.dumps({**document, "data": ordered})
