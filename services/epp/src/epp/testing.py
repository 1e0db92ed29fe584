"""One decision without servers, for tests of a configuration or of a plugin of one's own. Pure.

from epp.testing import candidate, decide

decided = decide(CONFIG, [candidate("a", waiting=9), candidate("b")], {"model": "m", "prompt": "hi"})
assert decided.targets == ("b",)
assert decided.scores["queue-scorer"] == {"a": 0.0, "b": 1.0}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from epp.config import SchedulerConfig, parse_config
from epp.config.reading import NO_PLUGINS
from epp.domain import NO_LABELS, Endpoint, EndpointId, EngineMetrics, Pick, PoolId, PoolSpec, Request, Verdict
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from gateway.wire.errors import Rejection

POOL = PoolId("testing/pool")
MODEL = "model"
SCRAPED_AT, DECIDED_AT = 100.0, 100.1


@dataclass(frozen=True, slots=True)
class Candidate:
    """One endpoint, and what its last scrape said."""

    endpoint: Endpoint
    metrics: EngineMetrics


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of it, by the candidates' names."""

    targets: tuple[str, ...]
    scores: Mapping[str, Mapping[str, float]]  # scorer → candidate → score, not weighted
    totals: Mapping[str, float]
    removed: Mapping[str, Sequence[str]]  # filter → candidates
    pick: Pick | None = None
    rejection: Rejection | None = None


class _Nobody:
    """The gate of a test admits at once: nobody waits."""

    def decide(self, verdict: Verdict, now: float) -> None:
        """Never called."""


NOBODY = _Nobody()


def candidate(
    name: str,
    *,
    waiting: int = 0,
    running: int = 0,
    kv_usage: float = 0.0,
    active_adapters: Sequence[str] = (),
    waiting_adapters: Sequence[str] = (),
    max_adapters: int = 0,
    labels: Mapping[str, str] = NO_LABELS,
) -> Candidate:
    """An endpoint with fresh metrics."""
    endpoint = Endpoint(EndpointId(name), name, 8000, name, labels)
    metrics = EngineMetrics(
        waiting, running, kv_usage, frozenset(active_adapters), frozenset(waiting_adapters), max_adapters=max_adapters
    )
    return Candidate(endpoint, metrics)


def decide(
    config: str | SchedulerConfig,
    candidates: Sequence[Candidate],
    body: Mapping[str, object],
    *,
    path: str = "/v1/completions",
    headers: Mapping[str, str] = NO_LABELS,
    before: Sequence[Mapping[str, object]] = (),
    priorities: Mapping[str, int] | None = None,
    own: Mapping[str, type[Any]] = NO_PLUGINS,
    fallbacks: int = 0,
    seed: int = 0,
) -> Decided:
    """Decide one request.

    `before` are bodies decided earlier, still in flight; `own` are plugin types by name; `fallbacks` are the further
    endpoints that the proxy would walk. A plugin that fails, which costs no request in service, is an error here.
    """
    parsed = parse_config(config, "testing", own) if isinstance(config, str) else config
    picker = Picker(parsed, random=Random(seed), replica="testing", observer=NullObserver(), explains=True)
    endpoints = tuple(each.endpoint for each in candidates)
    picker.replace_pools({POOL: PoolSpec(POOL, endpoints, priorities or {})}, SCRAPED_AT)
    for each in candidates:
        picker.scraped(POOL, each.endpoint.id, each.metrics, SCRAPED_AT)
    verdict: object = None
    for document in (*before, body):
        request = Request(POOL, "POST", path, headers, orjson.dumps(document), fallbacks=fallbacks)
        verdict = picker.submit(request, NOBODY, DECIDED_AT)
    return _decided(picker, verdict)


def _decided(picker: Picker, verdict: object) -> Decided:
    record: Mapping[str, Any] = picker.decisions.latest(1)[0]
    for plugin, error in record.get("failures", {}).items():
        raise RuntimeError(f"plugin {plugin!r} failed: {error}")
    scores = {note["plugin"]: note["raw"] for note in record.get("scores", ())}
    removed = {note["plugin"]: note["removed"] for note in record.get("filters", ())}
    totals: Mapping[str, float] = next(iter(record.get("totals", {}).values()), {})
    if isinstance(verdict, Pick):
        return Decided(verdict.targets, scores, totals, removed, pick=verdict)
    assert isinstance(verdict, Rejection)
    return Decided((), scores, totals, removed, rejection=verdict)
