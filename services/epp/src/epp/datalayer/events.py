"""What happens in a pool, as values that producers handle. Pure. The two of every request are tuples, which cost least.

Events of other replicas come under their types in `epp.domain`, see `SharedEvent`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from epp.datalayer.member import Member
from epp.datalayer.placement import Placement
from epp.datalayer.placing import Placing
from epp.datalayer.report import Report
from epp.domain import EngineMetrics, Feedback, Outcome, ServedModel


@dataclass(frozen=True, slots=True)
class EndpointJoined:
    """An endpoint is in the pool from now on."""

    member: Member


@dataclass(frozen=True, slots=True)
class EndpointLeft:
    """An endpoint is no longer in the pool. Its slot may be given to another."""

    member: Member


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """All joins and leaves of one change of the pool are done; there are so many members now."""

    count: int


@dataclass(frozen=True, slots=True)
class Scraped:
    """An endpoint's metrics arrived."""

    member: Member
    metrics: EngineMetrics


@dataclass(frozen=True, slots=True)
class ModelsListed:
    """An endpoint's model list arrived."""

    member: Member
    models: tuple[ServedModel, ...]


class RequestPlaced(NamedTuple):
    """A request goes to its endpoints. `placing` is what the decision was made from."""

    placement: Placement
    placing: Placing


class RequestSettled(NamedTuple):
    """A reservation was released."""

    placement: Placement
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RequestAlive:
    """A heartbeat of a request that goes on."""

    placement: Placement
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class RequestReported:
    """The access log, or the response, told how a settled request went."""

    report: Report


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """One attempt of a request failed; the report of the request is still to come. One that is in flight goes on
    elsewhere."""

    placement: Placement
    feedback: Feedback
    is_in_flight: bool


@dataclass(frozen=True, slots=True)
class TimePassed:
    """About a second went by."""


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """About half a second went by, where there are other replicas to hear of it."""


@dataclass(frozen=True, slots=True)
class PrefixSettings:
    """How prompts are cut into blocks, and how many an endpoint holds. An engine's block size gives `block_tokens`."""

    block_tokens: Callable[[int | None], int]
    capacity_blocks: int
    follows_engine: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """The configuration in force from now on, as far as producers read it. A session lives for `session_seconds`."""

    prefix: PrefixSettings
    session_seconds: float
