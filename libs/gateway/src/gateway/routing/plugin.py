"""What a plugin of the body-based router is, and what it may answer. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.routing.request import RoutedRequest
from gateway.wire.errors import Rejection

Headers = tuple[tuple[str, str], ...]
Vector = Sequence[float]


class Note(NamedTuple):
    """One thing to count: a metric's short name and its label values, all of bounded sets."""

    metric: str
    labels: tuple[str, ...]


class Outcome(NamedTuple):
    """Headers to set, or a refusal that ends the chain; `body` is what goes on instead of the request's own."""

    headers: Headers = ()
    rejection: Rejection | None = None
    notes: tuple[Note, ...] = ()
    body: bytes | None = None


NOTHING = Outcome()


@dataclass(frozen=True, slots=True)
class Ask:
    """What is the embedding of this text? `answered` gets None where none came in time."""

    text: str
    answered: Callable[[Vector | None], Outcome]


class Plugin(Protocol):
    """One link of the chain. Raises nothing; one of a user's own that does is counted and passed over."""

    @property
    def sets(self) -> tuple[str, ...]:
        """The headers it may set, in lower case: a client's own values of them never pass."""

    def act(self, request: RoutedRequest) -> Outcome | Ask:
        """Judge one request whose body is a JSON object."""


class Named(NamedTuple):
    """A plugin under its configured name."""

    name: str
    type: str
    plugin: Plugin
