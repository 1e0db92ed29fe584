"""The picker beside engines whose answers are known, or come one after the other. Pure: each request takes a second.

For a record of real engines: each request goes to the server that it went to then, and what the picker expected of that
server's cache is compared with what the server counted.
"""

from random import Random
from typing import NamedTuple

import orjson

from epp.config import default_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, Feedback, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from tests.lab.transcripts import Step

POOL = PoolId("lab/real")


class Engine(NamedTuple):
    """What the servers are, all the same."""

    name: str
    block_size: int
    block_count: int


class Answer(NamedTuple):
    """What a server counted."""

    server: int
    prompt_tokens: int
    cached_tokens: int


class Replay:
    """Call `send` and `answered` in turn."""

    def __init__(self, engine: Engine, servers: int) -> None:
        self.engine = engine
        self._ids = [EndpointId(f"10.0.0.{number + 1}:8000") for number in range(servers)]
        self._picker = Picker(default_config(), random=Random(1), replica="lab", observer=NullObserver())
        endpoints = tuple(Endpoint(id_, id_.partition(":")[0], 8000, id_) for id_ in self._ids)
        self._picker.replace_pools({POOL: PoolSpec(POOL, endpoints)}, 0.0)
        self._now = 0.0
        self._pick: Pick | None = None

    def send(self, step: Step, server: int | None = None) -> tuple[int, float]:
        """Where a request goes, to this server if one is given, and the share of its prompt expected in the cache."""
        self._now += 1.0
        for id_ in self._ids:
            metrics = EngineMetrics(
                0, 0, 0.0, block_size=self.engine.block_size, block_count=self.engine.block_count, started_at=1.0
            )
            self._picker.scraped(POOL, id_, metrics, self._now)
        headers = {"content-type": "application/json", **step.sent.headers}
        subset = None if server is None else (self._ids[server],)
        request = Request(POOL, "POST", step.sent.path, headers, orjson.dumps(step.sent.body), subset=subset)
        verdict = self._picker.submit(request, NOBODY, self._now)
        assert isinstance(verdict, Pick), verdict
        self._pick = verdict
        (record,) = self._picker.decisions.latest(1)
        matched, prompt = record["matched_tokens"], record["prompt_tokens"]
        assert isinstance(matched, int)
        assert isinstance(prompt, int)
        return self._ids.index(verdict.targets[0]), matched / prompt

    def answered(self, answer: Answer) -> None:
        """What came of the request."""
        assert self._pick is not None
        self._picker.settle(self._pick.id, Outcome.ENDED, self._now)
        entry = Feedback(
            self._pick.id, POOL, True, self._ids[answer.server], 200, (), ttft_seconds=0.1, duration_seconds=0.2,
            prompt_tokens=answer.prompt_tokens, completion_tokens=4, cached_tokens=answer.cached_tokens,
        )  # fmt: skip
        self._picker.observe(entry, self._now)


def error_of(expected: float, answer: Answer) -> float:
    """The difference between the shares of the prompt expected in the cache and found there."""
    return abs(expected - answer.cached_tokens / answer.prompt_tokens)
