"""A picker with three endpoints, driven as its shells drive it."""

from collections.abc import Iterable
from random import Random

import orjson

from epp.config import default_config
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Feedback,
    Pick,
    PoolId,
    PoolSpec,
    Request,
    SharedEvent,
)
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY

POOL = PoolId("default/pool")
IDS = [EndpointId(f"10.0.0.{number}:8000") for number in range(1, 4)]
BLOCK_BYTES = 64 * 4


class Events:
    """A journal and observer that remembers."""

    def __init__(self) -> None:
        self.journal: list[SharedEvent] = []

    def publish(self, events: Iterable[SharedEvent]) -> None:
        self.journal += events


def picker(events: Events | None = None, replica: str = "r", endpoints: int = 3) -> Picker:
    made = Picker(default_config(), random=Random(1), replica=replica, observer=NullObserver(), journal=events)
    made.replace_pools({POOL: spec(endpoints)}, 0.0)
    scrape(made, 0.5)
    return made


def spec(endpoints: int = 3) -> PoolSpec:
    return PoolSpec(POOL, tuple(Endpoint(id_, id_.split(":")[0], 8000, id_) for id_ in IDS[:endpoints]))


def scrape(made: Picker, now: float, *, started_at: float = 1.0, only: EndpointId | None = None) -> None:
    for id_ in IDS:
        if only in (None, id_):
            metrics = EngineMetrics(0, 0, 0.0, block_size=16, block_count=10_000, started_at=started_at)
            made.scraped(POOL, id_, metrics, now)


def ask(made: Picker, text: str = "x" * 4 * BLOCK_BYTES, now: float = 1.0, fallbacks: int = 0) -> Pick:
    body = orjson.dumps({"model": "m", "prompt": text})
    verdict = made.submit(Request(POOL, "POST", "/v1/completions", {}, body, fallbacks=fallbacks), NOBODY, now)
    assert isinstance(verdict, Pick)
    return verdict


def final(pick: Pick, **more: object) -> Feedback:
    feedback = Feedback(pick.id, POOL, True, pick.targets[0], 200, (), 1, 0.1, 1.0)
    return feedback._replace(**more)  # type: ignore[arg-type]


def endpoints(made: Picker, now: float = 1.0) -> dict[str, dict[str, object]]:
    (pool,) = made.pools.describe(now)
    listed = pool["endpoints"]
    assert isinstance(listed, list)
    return {endpoint["endpoint"]: endpoint for endpoint in listed}


def in_flight(made: Picker) -> int:
    return sum(int(str(endpoint["in_flight"])) for endpoint in endpoints(made).values())
