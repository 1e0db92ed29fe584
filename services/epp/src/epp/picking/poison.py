"""Requests that break model servers: one whose servers broke off, one after the other, is stopped for a while. Pure.

A client that is answered with an error sends the same bytes again, and each time two or three servers more would die.
So a body that broke two endpoints is refused before a third. Its bytes are known by their hash. An answer clears it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import xxhash

from epp.datalayer.placement import Placement
from epp.datalayer.report import BREAKS, Report
from epp.datalayer.standing.attempts import known_attempts
from epp.domain import EndpointId, Feedback
from gateway.wire import refusals
from gateway.wire.errors import Rejection

NOTE: Final = "body"  # the hash of the body, in a placement's notes
BROKEN_TO_STOP: Final = 2
# Longer than clients repeat a request by themselves; a server that was merely restarted serves it then.
REMEMBER_SECONDS: Final = 60.0
# Bodies are clients' words: a flood of them forgets the earliest.
BODIES_LIMIT: Final = 1000


@dataclass(slots=True)
class _Suspect:
    """A body, the endpoints that broke off over it, and when the last did."""

    at: float
    endpoints: set[EndpointId] = field(default_factory=set)


class PoisonRequests:
    """All pools' together: the same bytes are the same request."""

    def __init__(self) -> None:
        self._suspects: OrderedDict[int, _Suspect] = OrderedDict()  # by the last time

    def refuse(self, body: bytes, now: float) -> Rejection | None:
        """Why these bytes are not sent to one endpoint more; None where they may be."""
        if not self._suspects:
            return None
        suspect = self._suspects.get(hash_of(body))
        if suspect is None or len(suspect.endpoints) < BROKEN_TO_STOP:
            return None
        left = suspect.at + REMEMBER_SECONDS - now
        return refusals.breaks_servers(len(suspect.endpoints), left) if left > 0 else None

    def attempted(self, placement: Placement, feedback: Feedback, now: float) -> None:
        """One attempt failed: whether it broke its server off is known."""
        body, endpoint = placement.notes.get(NOTE), feedback.served
        is_break = feedback.status is None and BREAKS.intersection(feedback.flags)
        if isinstance(body, int) and endpoint is not None and is_break:
            self._suspect(body, (endpoint,), now)

    def learn(self, report: Report, now: float) -> None:
        """A request ended. Only one that broke its last server off casts suspicion on the others that were tried."""
        body = report.placement.notes.get(NOTE)
        if not isinstance(body, int):
            return
        if report.has_begun:
            self._suspects.pop(body, None)
            return
        if BREAKS.intersection(report.feedback.flags) and not known_attempts(report.placement):
            self._suspect(body, report.tried, now)

    def _suspect(self, body: int, endpoints: Iterable[EndpointId], now: float) -> None:
        suspect = self._suspects.pop(body, None)
        if suspect is None or now - suspect.at > REMEMBER_SECONDS:
            suspect = _Suspect(now)
        suspect.at = now
        suspect.endpoints.update(endpoints)
        self._suspects[body] = suspect
        if len(self._suspects) > BODIES_LIMIT:
            self._suspects.popitem(last=False)


def hash_of(body: bytes) -> int:
    """By which a body is known."""
    return xxhash.xxh3_64_intdigest(body)
