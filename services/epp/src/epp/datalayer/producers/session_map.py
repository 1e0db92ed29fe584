"""Which endpoint a session is bound to. Pure, bounded, forgets what was not used for a while.

A binding bears the stamp of its making. Of two the later counts, and of two with one stamp the endpoint whose name is
higher, so that all replicas come to the same.
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import Final, NamedTuple

from epp.domain import EndpointId, Stamp

# A session id is a client's word: the map must not grow with their number. 50 000 bindings are some ten megabytes.
SESSIONS_LIMIT = 50_000
# Longer ids, which may fill a whole header, are kept as a digest.
ID_LIMIT = 64
# The others learn of a binding's use when so much of its time is over: not with each request.
RENEWAL_SHARE: Final = 0.1


class Binding(NamedTuple):
    """`endpoint` is None where a session was let go."""

    endpoint: EndpointId | None
    until: float
    stamp: Stamp = 0
    shared_at: float = float("-inf")

    @property
    def order(self) -> tuple[Stamp, EndpointId]:
        """What decides between two."""
        return self.stamp, self.endpoint or EndpointId("")


class Sessions:
    """Session id → endpoint, least recently used first."""

    def __init__(self) -> None:
        self._bound: OrderedDict[str, Binding] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bound)

    def endpoint(self, session: str, now: float) -> EndpointId | None:
        """The endpoint a session is bound to, if the binding is still good."""
        bound = self._bound.get(key_of(session))
        return bound.endpoint if bound is not None and now < bound.until else None

    def needs_sharing(self, session: str, endpoint: EndpointId, now: float, ttl: float) -> bool:
        """Whether the others would learn something from this use of a session."""
        bound = self._bound.get(key_of(session))
        if bound is None or bound.endpoint != endpoint or now >= bound.until:
            return True
        return now - bound.shared_at >= ttl * RENEWAL_SHARE

    def bind(self, session: str, endpoint: EndpointId, now: float, ttl: float, stamp: Stamp | None = None) -> None:
        """Bind, or keep bound for another `ttl`. `stamp` is given where the others learn of it."""
        key = key_of(session)
        known = self._bound.get(key)
        if stamp is not None:
            self._set(key, Binding(endpoint, now + ttl, stamp, now))
        elif known is None:
            self._set(key, Binding(endpoint, now + ttl))
        else:
            self._set(key, Binding(endpoint, now + ttl, known.stamp, known.shared_at))

    def unbind(self, session: str, now: float, ttl: float, stamp: Stamp) -> None:
        """Let go of a session; a binding that is older, and comes later, does not hold."""
        self._set(key_of(session), Binding(None, now + ttl, stamp, now))

    def fold(self, key: str, binding: Binding) -> None:
        """Another replica's binding."""
        known = self._bound.get(key)
        if known is None or binding.order >= known.order:
            self._set(key, binding)

    def bindings(self) -> tuple[tuple[str, Binding], ...]:
        """All, by key, least recently used first."""
        return tuple(self._bound.items())

    def expire(self, now: float) -> None:
        """Drop what has run out, from the least recently used on."""
        while self._bound:
            session, bound = next(iter(self._bound.items()))
            if now < bound.until:
                return
            del self._bound[session]

    def _set(self, key: str, binding: Binding) -> None:
        self._bound[key] = binding
        self._bound.move_to_end(key)
        if len(self._bound) > SESSIONS_LIMIT:
            self._bound.popitem(last=False)


def key_of(session: str) -> str:
    """A session id as it is kept."""
    return session if len(session) <= ID_LIMIT else blake2b(session.encode(), digest_size=32).hexdigest()
