"""Which endpoint a session is bound to. Pure, bounded, forgets what was not used for a while."""

from collections import OrderedDict
from hashlib import blake2b

from epp.domain import EndpointId

# A session id is a client's word: the map must not grow with their number. 50 000 bindings are some ten megabytes.
SESSIONS_LIMIT = 50_000
# Longer ids, which may fill a whole header, are kept as a digest.
ID_LIMIT = 64


class Sessions:
    """Session id → endpoint, least recently used first."""

    def __init__(self) -> None:
        self._bound: OrderedDict[str, tuple[EndpointId, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bound)

    def endpoint(self, session: str, now: float) -> EndpointId | None:
        """The endpoint a session is bound to, if the binding is still good."""
        bound = self._bound.get(_key(session))
        return bound[0] if bound is not None and now < bound[1] else None

    def bind(self, session: str, endpoint: EndpointId, now: float, ttl: float) -> None:
        """Bind, or keep bound for another `ttl`."""
        key = _key(session)
        self._bound[key] = (endpoint, now + ttl)
        self._bound.move_to_end(key)
        if len(self._bound) > SESSIONS_LIMIT:
            self._bound.popitem(last=False)

    def unbind(self, session: str, endpoint: EndpointId, now: float) -> None:
        """Let go of a session that is bound to this endpoint."""
        if self.endpoint(session, now) == endpoint:
            del self._bound[_key(session)]

    def expire(self, now: float) -> None:
        """Drop what has run out, from the least recently used on."""
        while self._bound:
            session, (_, until) = next(iter(self._bound.items()))
            if now < until:
                return
            del self._bound[session]


def _key(session: str) -> str:
    return session if len(session) <= ID_LIMIT else blake2b(session.encode(), digest_size=32).hexdigest()
