"""Pools and views for tests: endpoints with the figures that a test gives them."""

from collections.abc import Mapping, Sequence
from random import Random

from epp.datalayer.builtin import Builtin, builtin
from epp.datalayer.events import Configured, PrefixSettings
from epp.datalayer.placing import Placing
from epp.datalayer.pool import PoolState
from epp.datalayer.producer import Producers
from epp.datalayer.standing.signals import Signal
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec
from epp.prompts.request import InferenceRequest
from epp.scheduling.view import SchedulingView

POOL = PoolId("default/pool")


class Standings:
    """Remembers ejections and returns."""

    def __init__(self) -> None:
        self.ejections: list[tuple[EndpointId, str]] = []
        self.returns: list[EndpointId] = []
        self.failures: list[Signal] = []

    def ejected(self, endpoint: EndpointId, reason: str) -> None:
        self.ejections.append((endpoint, reason))

    def returned(self, endpoint: EndpointId) -> None:
        self.returns.append(endpoint)

    def attempt_failed(self, signal: Signal) -> None:
        self.failures.append(signal)


def spec_of(*names: str) -> PoolSpec:
    """Endpoints by these names."""
    return PoolSpec(POOL, tuple(Endpoint(EndpointId(name), name, 8000, name) for name in names))


def pool_of(
    spec: PoolSpec, now: float = 0.0, *, block_tokens: int = 0, known: Builtin | None = None
) -> tuple[PoolState, Builtin]:
    """A pool with the built-in producers, which cut prompts into blocks of one size."""
    known = known or builtin()
    pool = PoolState(spec, Producers(known.in_order()), Standings())
    pool.handle(Configured(PrefixSettings(lambda _: block_tokens, 31_250, follows_engine=True), 300.0), now)
    pool.replace(spec, now)
    return pool, known


def view_of(
    pool: PoolState,
    request: InferenceRequest,
    now: float,
    *,
    blocks: tuple[int, ...] = (),
    session: str | None = None,
) -> SchedulingView:
    """All members of a pool as candidates."""
    members: Sequence = list(pool.roster.members.values())  # type: ignore[type-arg]  # only read here
    return SchedulingView(
        [member.endpoint for member in members],
        Random(1),
        _slots=[member.slot for member in members],
        _columns=pool.columns,
        _placing=Placing(request, blocks, session, now, {}),
    )


def matched(pool: PoolState, known: Builtin, blocks: tuple[int, ...], lengths: Mapping[int, int]) -> None:
    """Let endpoints, by their position, hold so many leading blocks."""
    members = list(pool.roster.members.values())
    for at, length in lengths.items():
        known.prefixes.index.learn(members[at].slot, blocks[:length])


def scraped(pool: PoolState, endpoint: str, metrics: EngineMetrics, now: float) -> None:
    """One scrape."""
    pool.scraped(EndpointId(endpoint), metrics, now)
