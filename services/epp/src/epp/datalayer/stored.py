"""Where stored answers live: which endpoint holds a response or a conversation, by its id. Pure, bounded.

Engines keep what they store in the memory of one server, so a request that names an id can be answered there alone. The
ids come from answers: by the access log, by response phases, or from another replica, where the later word counts. A
request that names an id that is not known goes where any other would.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from epp.datalayer.events import RequestAlive, RequestReported
from epp.datalayer.placement import Placement
from epp.datalayer.producer import Handlers
from epp.datalayer.shared import ALONE, Shared
from epp.domain import AnswerStored, EndpointId, Feedback, Stamp

# An id has some 40 bytes: so many are about ten megabytes a pool.
STORED_LIMIT: Final = 50_000


class Stored(NamedTuple):
    """Where an answer is kept, and the session of the request that it answered, where that is known."""

    endpoint: EndpointId
    session: str | None = None
    stamp: Stamp = 0

    @property
    def order(self) -> tuple[Stamp, EndpointId, str]:
        """What decides between two: the same on all replicas."""
        return self.stamp, self.endpoint, self.session or ""


def keeper_of(feedback: Feedback, placement: Placement) -> EndpointId:
    """The endpoint that keeps what it answered: the one that served, or the first choice where none is named."""
    return feedback.served or placement.primary.id


class StoredAnswers:
    """By id, least recently used first."""

    def __init__(self, shared: Shared = ALONE) -> None:
        self._shared = shared
        self._homes: OrderedDict[str, Stored] = OrderedDict()

    def __len__(self) -> int:
        return len(self._homes)

    def handles(self) -> Handlers:
        """Answers as they begin and end, and what other replicas learned."""
        return {RequestAlive: self._alive, RequestReported: self._reported, AnswerStored: self._learned}

    def home(self, stored_id: str) -> EndpointId | None:
        """The endpoint that holds it, as far as is known."""
        found = self._homes.get(stored_id)
        if found is None:
            return None
        self._homes.move_to_end(stored_id)
        return found.endpoint

    def session(self, stored_id: str) -> str | None:
        """The session that it belongs to: a chain of responses, each naming the one before, is one session."""
        found = self._homes.get(stored_id)
        return None if found is None else found.session

    def facts(self) -> Iterator[AnswerStored]:
        """All, for a replica that lacks them."""
        pool = self._shared.pool
        for stored_id, stored in tuple(self._homes.items()):
            yield AnswerStored(pool, stored.endpoint, stored_id, stored.session, stored.stamp)

    def _alive(self, event: RequestAlive, now: float) -> None:
        del now
        self._learn(event.feedback, event.placement)

    def _reported(self, event: RequestReported, now: float) -> None:
        del now
        self._learn(event.report.feedback, event.report.placement)

    def _learned(self, event: AnswerStored, now: float) -> None:
        del now
        self._shared.witness(event.stamp)
        found, known = Stored(event.endpoint, event.session, event.stamp), self._homes.get(event.stored_id)
        if known is None or found.order > known.order:
            self._store(event.stored_id, found)

    def _learn(self, feedback: Feedback, placement: Placement) -> None:
        stored_id = feedback.stored_id
        if stored_id is None:
            return
        endpoint, known = keeper_of(feedback, placement), self._homes.get(stored_id)
        if known is not None and (known.endpoint, known.session) == (endpoint, placement.session):
            self._homes.move_to_end(stored_id)
            return
        stored = Stored(endpoint, placement.session, self._shared.next_stamp())
        self._store(stored_id, stored)
        self._shared.publish(AnswerStored(self._shared.pool, stored.endpoint, stored_id, stored.session, stored.stamp))

    def _store(self, stored_id: str, stored: Stored) -> None:
        self._homes[stored_id] = stored
        self._homes.move_to_end(stored_id)
        if len(self._homes) > STORED_LIMIT:
            self._homes.popitem(last=False)
