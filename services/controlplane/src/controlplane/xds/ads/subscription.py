"""One type of resources on one stream: what a proxy wants of it, what it has, and what it refused. Pure.

At most one response is on its way. What the proxy has counts from the moment at which that is sent; a refusal takes it
back, and the same resources are not offered again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.xds.messages import EVERYTHING, Dialect, Request, Resource, Response


@dataclass(frozen=True, slots=True)
class Offer:
    """Resources that a type has now, with their version as a whole. `keeps`: those that are gone stay for a while."""

    resources: Mapping[str, Resource]
    version: str
    keeps: bool = False


class Subscription:
    """`is_whole`: a type of which a proxy takes everything unless it names what it wants (clusters, listeners)."""

    def __init__(self, type_name: str, dialect: Dialect, *, is_whole: bool) -> None:
        self.type_name = type_name
        self.updated: tuple[str, ...] = ()  # what the latest response changed
        self._dialect = dialect
        self._is_whole = is_whole
        self._takes_all = False
        self._names: dict[str, None] = {}
        self._unanswered: set[str] = set()  # names wanted of which the proxy knows nothing yet
        self._held: dict[str, Resource] = {}
        self._before: dict[str, Resource] = {}
        self._refused: tuple[Resource, ...] | None = None
        self._error = ""  # why
        self._offered: tuple[Resource, ...] = ()
        self._is_new = True
        self._nonce = ""
        self._is_awaited = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing is on its way."""
        return not self._is_awaited

    def has(self, resources: Mapping[str, Resource]) -> bool:
        """Whether the proxy has all of these, and has said so."""
        return self.is_settled and all(self._held.get(name) == found for name, found in resources.items())

    def has_only(self, resources: Mapping[str, Resource]) -> bool:
        """Whether it has these and no other."""
        return self.has(resources) and self._held.keys() <= resources.keys()

    def refusal(self, offer: Offer) -> str:
        """Why the proxy refuses what there is now; empty where it does not, or has not been offered it."""
        return self._error if self._error and self._changed(self._wanted(offer)[0]) == self._refused else ""

    def receive(self, request: Request) -> None:
        """Take a request. In the state-of-the-world dialect one that answers an older response is overtaken."""
        if self._dialect is Dialect.STATE and request.nonce not in ("", self._nonce):
            return
        if self._is_awaited and request.nonce == self._nonce:
            self._answered(request.error)
        if self._dialect is Dialect.STATE:
            self._want_only(request.names)
        else:
            self._want_also(request)
        self._is_new = False

    def offer(self, offer: Offer, nonce: str) -> Response | None:
        """The response that brings the proxy to what there is; None where there is nothing to say."""
        if self._is_awaited:
            return None
        wanted, version = self._wanted(offer)
        changed = self._changed(wanted)
        removed = tuple(name for name in self._held if name not in wanted) if self._takes_all else ()
        missing = tuple(sorted(self._unanswered - wanted.keys())) if self._dialect is Dialect.DELTA else ()
        is_first = self._takes_all and not self._nonce  # a proxy that starts waits for it, even if it is empty
        if not (changed or removed or missing or is_first):
            self._error, self._refused = "", None  # what was refused is wanted no longer
            return None
        if changed and changed == self._refused:
            return None
        self._before, self._offered = dict(self._held), changed
        self._held = wanted if self._takes_all else {**self._held, **{item.name: item for item in changed}}
        self._unanswered.clear()
        self.updated = tuple(item.name for item in changed)
        self._nonce, self._is_awaited = nonce, True
        is_state = self._dialect is Dialect.STATE
        resources = tuple(wanted.values()) if is_state and self._takes_all else changed
        return Response(self.type_name, version, nonce, resources, () if is_state else (*removed, *missing))

    def forget(self, name: str) -> None:
        """Send a resource again, though it is the same: the proxy dropped it."""
        self._held.pop(name, None)
        self._before.pop(name, None)

    def _wanted(self, offer: Offer) -> tuple[dict[str, Resource], str]:
        """What the proxy is to have, and the version of that."""
        if not self._takes_all:
            return {name: offer.resources[name] for name in self._names if name in offer.resources}, offer.version
        gone = {name: item for name, item in self._held.items() if name not in offer.resources} if offer.keeps else {}
        return {**offer.resources, **gone}, f"{offer.version}+{len(gone)}" if gone else offer.version

    def _changed(self, wanted: Mapping[str, Resource]) -> tuple[Resource, ...]:
        return tuple(item for name, item in wanted.items() if self._held.get(name) != item)

    def _answered(self, error: str) -> None:
        self._is_awaited = False
        self._error = error
        self._refused = self._offered if error else None
        if error:
            self._held = self._before

    def _want_only(self, names: tuple[str, ...]) -> None:
        if names or not self._is_new:
            self._takes_all = EVERYTHING in names or (self._takes_all and not names)
        else:
            self._takes_all = self._is_whole
        self._names = {name: None for name in names if name != EVERYTHING}
        if not self._takes_all:
            self._held = {name: item for name, item in self._held.items() if name in self._names}

    def _want_also(self, request: Request) -> None:
        if self._is_new:
            self._held = {name: Resource(name, version) for name, version in request.versions.items()}
            self._takes_all = self._is_whole and not request.names
        for name in request.names:
            if name == EVERYTHING:
                self._takes_all = True
                continue
            self._names[name] = None
            if not self._is_new:
                self.forget(name)  # whoever subscribes again wants it again
            if name not in self._held:
                self._unanswered.add(name)
        for name in request.unwanted:
            if name == EVERYTHING:
                self._takes_all = False
            self._names.pop(name, None)
            self._unanswered.discard(name)
            self.forget(name)
