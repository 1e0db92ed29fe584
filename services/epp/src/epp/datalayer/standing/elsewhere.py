"""Endpoints that other replicas avoid because requests fail there: known here before it costs requests here. Pure.

What another replica cannot reach itself, at a metrics port, is not shared: that may be its own network. Each run's last
word about an endpoint counts. A word is good for as long as an ejection lasts, whatever becomes of who said it. An
endpoint that is avoided no longer comes back as after an ejection here: its share of decisions grows.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Final, NamedTuple

from epp.datalayer.standing.endpoint import LONGEST_EJECTION_SECONDS, RETURN_SECONDS, returning_share
from epp.domain import EndpointEjected, EndpointId, PoolId, RunId, Stamp

WORD_SECONDS: Final = LONGEST_EJECTION_SECONDS + 3.0
# Words of a pool: a hundred replicas about a hundred endpoints; beyond it the oldest is forgotten.
WORDS_LIMIT: Final = 10_000


class _Word(NamedTuple):
    stamp: Stamp
    reason: str  # empty where the endpoint is avoided no longer
    until: float

    @property
    def order(self) -> tuple[Stamp, str]:
        return self.stamp, self.reason


class EjectedElsewhere:
    """Folds words in any order, each any number of times."""

    def __init__(self) -> None:
        self._words: dict[tuple[EndpointId, RunId], _Word] = {}
        self._avoided: Mapping[EndpointId, str] = {}  # as of the last look
        self._returned: dict[EndpointId, float] = {}  # when they were avoided no longer

    def take(self, endpoint: EndpointId, run: RunId, stamp: Stamp, reason: str, now: float) -> None:
        """A replica's word: why it avoids an endpoint; an empty reason takes it back."""
        key, word = (endpoint, run), _Word(stamp, reason, now + WORD_SECONDS)
        known = self._words.get(key)
        if known is None or word.order > known.order:
            self._words.pop(key, None)
            self._words[key] = word
            if len(self._words) > WORDS_LIMIT:
                del self._words[next(iter(self._words))]

    def avoided(self, among: Container[EndpointId], limit: int, now: float) -> Mapping[EndpointId, str]:
        """Endpoints of these, at most so many, with the reason; the same ones on all replicas."""
        for key in [key for key, word in self._words.items() if now >= word.until]:
            del self._words[key]
        words = sorted(self._words.items())
        found = {endpoint: word.reason for (endpoint, _), word in words if word.reason and endpoint in among}
        avoided = dict(list(found.items())[:limit])
        for endpoint in self._avoided.keys() - avoided.keys():
            self._returned[endpoint] = now
        for endpoint, at in list(self._returned.items()):
            if endpoint in avoided or now - at >= RETURN_SECONDS:
                del self._returned[endpoint]
        self._avoided = avoided
        return avoided

    def returning(self, now: float) -> Mapping[EndpointId, float]:
        """Endpoints that were avoided until a moment ago, with their share of decisions."""
        return {endpoint: returning_share(now - at) for endpoint, at in self._returned.items()}

    def facts(self, pool: PoolId) -> Iterator[EndpointEjected]:
        """Words that hold, for a replica that lacks them."""
        for (endpoint, run), word in tuple(self._words.items()):
            if word.reason:
                yield EndpointEjected(pool, endpoint, run, word.reason, word.stamp)

    def changes_at(self) -> float:
        """When time alone changes something."""
        return min((word.until for word in self._words.values() if word.reason), default=float("inf"))
