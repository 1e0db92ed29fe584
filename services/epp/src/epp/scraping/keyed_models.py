"""Lists of models with the client's key: servers started with an API key list theirs to nobody else.

A shell between the transports and the picker. A GET of /v1/models that carries a key waits while the servers that
refused the picker's own request are asked with that key; all other requests pass through. A key is never kept, and it
goes only to servers of the pools that the route names, as it would with any other request of this client.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from epp.domain import Endpoint, Outcome, PickId, PoolId, Reply, Request, ServedModel, Ticket, Verdict, Waiter
from epp.picking import model_lists
from gateway.service.clock import Clock
from gateway.wire.errors import Rejection

MAX_ENDPOINTS = 16
"""Asked for one list; replicas of a pool serve the same models but for adapters, and a list must not be an attack."""
MAX_LISTS = 64
"""At a time; beyond them a list is what is known without a key."""


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

    def locked(self, pools: Collection[PoolId] | None) -> list[tuple[PoolId, Endpoint]]:
        """Those of these pools, or of all, with their pools."""

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
        model = None if authorization is None else model_lists.requested(request)
        if authorization is None or model is None or not isinstance(verdict, Reply | Rejection):
            return verdict
        if model != model_lists.EVERY and isinstance(verdict, Reply):
            return verdict  # it is known without a key
        locked = self._servers.locked(_named(request.pool))[:MAX_ENDPOINTS]
        if not locked or self._group is None or len(self._lists) >= MAX_LISTS or not authorization.isprintable():
            return verdict
        self._number -= 1  # the picker's own tickets count upwards
        ticket = Ticket(self._number)
        question = _Question(model, verdict, locked, authorization)
        self._lists[ticket] = self._group.create_task(self._list(ticket, waiter, question))
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> None:
        """The client of a waiting request is gone. Unknown tickets are ignored."""
        task = self._lists.pop(ticket, None)
        if task is not None:
            task.cancel()
        else:
            self._picker.cancel(ticket, now)

    async def _list(self, ticket: Ticket, waiter: Waiter, question: "_Question") -> None:
        listings = (self._servers.list_models(endpoint, question.authorization) for _, endpoint in question.locked)
        found = await asyncio.gather(*listings)
        if self._lists.pop(ticket, None) is not None:
            waiter.decide(question.answer(found), self._clock())


@dataclass(frozen=True, slots=True)
class _Question:
    """A request for a model, or for all, with what is known without the client's key."""

    model: str
    known: Reply | Rejection
    locked: Sequence[tuple[PoolId, Endpoint]]
    authorization: str = field(repr=False)

    def answer(self, found: Sequence[tuple[ServedModel, ...]]) -> Reply | Rejection:
        """The verdict with what the locked servers listed, in the order in which they stand here."""
        models = [model for each in found for model in each]
        if isinstance(self.known, Rejection):
            item = next((model.item for model in models if model.id == self.model), None)
            return self.known if item is None else Reply(orjson.dumps(dict(item)))
        document = orjson.loads(self.known.body)
        known = [ServedModel(item["id"], item) for item in document["data"]]
        answered = {pool for (pool, _), listed in zip(self.locked, found, strict=True) if listed}
        silent = (pool for pool in document.get("incomplete", ()) if pool not in answered)
        return Reply(model_lists.document((*known, *models), silent))


def _named(pools: str | None) -> Collection[PoolId] | None:
    return None if pools is None else {PoolId(name.strip()) for name in pools.split(",")}
