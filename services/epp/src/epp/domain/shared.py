"""What replicas share: events of one pool, folded by each in any order. Pure values."""

from dataclasses import dataclass

from epp.domain.values import (
    EndpointId,
    EngineMetrics,
    Feedback,
    PickId,
    PoolId,
    RunId,
    ScrapeFault,
    ServedModel,
    Stamp,
)


@dataclass(frozen=True, slots=True)
class PrefixLearned:
    """`endpoint` is about to hold these prompt blocks: the chain of block hashes from the start, unsigned 64-bit."""

    pool: PoolId
    endpoint: EndpointId
    blocks: tuple[int, ...]
    stamp: Stamp = 0


@dataclass(frozen=True, slots=True)
class PrefixUnlearned:
    """`endpoint` does not hold the blocks of this prompt from number `start` on."""

    pool: PoolId
    endpoint: EndpointId
    blocks: tuple[int, ...]
    start: int
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class PrefixesHeld:
    """What an endpoint is believed to hold, for a replica that lacks it: consecutive blocks together, those that were
    touched least recently first. Each part is the blocks' numbers, eight bytes each, little-endian."""

    pool: PoolId
    endpoint: EndpointId
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FeedbackForwarded:
    """An access-log entry for a pick that another replica made."""

    feedback: Feedback

    @property
    def pool(self) -> PoolId:
        """Empty where the entry does not say it: the replica that picked knows it."""
        return self.feedback.pool


@dataclass(frozen=True, slots=True)
class PickPlaced:
    """A replica placed a request: each endpoint that carries a part of it, with the tokens in flight there. `prompts`
    are those of each leg that are to be computed, where answers are counted among its tokens; empty says all."""

    pool: PoolId
    pick_id: PickId
    legs: tuple[tuple[EndpointId, int], ...]
    prompts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PickSettled:
    """A replica released the reservation of a request."""

    pool: PoolId
    pick_id: PickId


@dataclass(frozen=True, slots=True)
class ReplicaAlive:
    """A replica's heartbeat, `beat` counts them. Of its picks up to number `through` only `live` are in flight; None
    where it does not say it."""

    pool: PoolId
    run: RunId
    beat: int
    through: int = 0
    live: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class SessionBound:
    """A session is at `endpoint` from now on; None lets go of it. `session` is its key."""

    pool: PoolId
    session: str
    endpoint: EndpointId | None
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class AnswerStored:
    """`endpoint` keeps a response or a conversation under this id; `session` is the conversation it belongs to."""

    pool: PoolId
    endpoint: EndpointId
    stored_id: str
    session: str | None = None
    stamp: Stamp = 0


@dataclass(frozen=True, slots=True)
class ServerDrained:
    """A model server is about to stop: none of its endpoints gets a request for so many seconds. `server` is
    `address:port`, or an address with every port of it."""

    server: str
    seconds: float

    @property
    def pool(self) -> PoolId:
        """None: a server may be in several."""
        return PoolId("")


@dataclass(frozen=True, slots=True)
class EndpointEjected:
    """A replica avoids an endpoint, since requests fail there."""

    pool: PoolId
    endpoint: EndpointId
    run: RunId
    reason: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class EndpointReturned:
    """A replica no longer avoids it."""

    pool: PoolId
    endpoint: EndpointId
    run: RunId
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class SpeedObserved:
    """What a replica has measured of an endpoint so far: for each line its fading sums, see `FadingLine`."""

    pool: PoolId
    endpoint: EndpointId
    run: RunId
    lines: tuple[tuple[float, ...], ...]
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class ScrapeTaken:
    """A replica scraped an endpoint: what it said, or why nothing came."""

    pool: PoolId
    endpoint: EndpointId
    run: RunId
    found: EngineMetrics | ScrapeFault


@dataclass(frozen=True, slots=True)
class ModelsShared:
    """The models that an endpoint listed to a replica."""

    pool: PoolId
    endpoint: EndpointId
    models: tuple[ServedModel, ...]


SharedEvent = (
    PrefixLearned | PrefixUnlearned | FeedbackForwarded | PickPlaced | PickSettled | ReplicaAlive | SessionBound
    | AnswerStored | EndpointEjected | EndpointReturned | SpeedObserved | ServerDrained | PrefixesHeld | ScrapeTaken
    | ModelsShared
)  # fmt: skip
