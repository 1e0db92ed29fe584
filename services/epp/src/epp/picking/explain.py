"""Decisions as people read them: a bounded ring of facts, rendered only when somebody asks. Pure, body-free.

The hot path keeps a handful of references per decision. With explaining on, a `Notes` trace also keeps what each
filter removed and every score.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from epp.domain import EndpointId, PickId, PoolId
from epp.picking.caching import Parting
from epp.prompts.sessions import Session
from epp.scheduling.profile import NO_TRACE
from epp.scheduling.view import SchedulingView

# Decisions kept for /debug/decisions; with scores of 16 endpoints one takes a few kilobytes.
RING_LIMIT = 1000
# Candidates shown per decision; beyond this the best of each score are shown and the rest counted.
CANDIDATES_LIMIT = 64
# Of a client's request id, which may fill a whole header, and of the words of a refusal.
WORDS_LIMIT = 256


@dataclass(frozen=True, slots=True)
class ScoreNote:
    """What one scorer answered."""

    profile: str
    plugin: str
    weight: float
    endpoints: Sequence[EndpointId]
    scores: Sequence[float]


@dataclass(frozen=True, slots=True)
class FilterNote:
    """Whom one filter removed."""

    profile: str
    plugin: str
    removed: Sequence[EndpointId]


@dataclass(slots=True)
class Notes:
    """A trace that remembers. `candidates` are those before the first filter; failures go to `failed_plugin`, too."""

    candidates: Sequence[EndpointId] = ()
    filters: list[FilterNote] = field(default_factory=list)
    scores: list[ScoreNote] = field(default_factory=list)
    totals: dict[str, tuple[Sequence[EndpointId], Sequence[float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    failed_plugin: Callable[[str, str], None] = NO_TRACE.failed

    def failed(self, plugin: str, error: str) -> None:
        """A plugin failed."""
        self.failures[plugin] = error[:WORDS_LIMIT]
        self.failed_plugin(plugin, error)

    def filtered(self, profile: str, plugin: str, before: SchedulingView, keep: Sequence[bool]) -> None:
        """A filter ran."""
        removed = [endpoint.id for endpoint, kept in zip(before.endpoints, keep, strict=True) if not kept]
        self.filters.append(FilterNote(profile, plugin, removed))

    def scored(self, profile: str, plugin: str, weight: float, view: SchedulingView, scores: Sequence[float]) -> None:
        """A scorer ran."""
        self.scores.append(ScoreNote(profile, plugin, weight, [endpoint.id for endpoint in view.endpoints], scores))

    def picked(self, profile: str, view: SchedulingView, totals: Sequence[float], chosen: Sequence[int]) -> None:
        """A profile ended."""
        del chosen  # the record has it
        self.totals[profile] = ([endpoint.id for endpoint in view.endpoints], totals)


class LoadNote(NamedTuple):
    """An endpoint's reservations before and after the pick."""

    endpoint: EndpointId
    requests_before: int
    requests_after: int
    tokens_before: int
    tokens_after: int


class DecisionRecord(NamedTuple):
    """One decision or refusal."""

    at: float
    request_id: str
    pick_id: PickId | None
    pool: PoolId | None
    model: str
    target_model: str
    priority: int
    prompt_tokens: int
    matched_tokens: int
    candidates: int
    targets: tuple[EndpointId, ...]
    margin: float
    rejection: str | None = None
    ledger: LoadNote | None = None
    notes: Notes | None = None
    avoided: Sequence[tuple[EndpointId, str]] = ()  # those that their standing kept out, with the reason
    session: Session | None = None
    parting: Parting | None = None  # None where the prompt matched whole, or has no blocks

    def render(self, started_at: float, cached_tokens: int | None = None) -> dict[str, object]:
        """As JSON-able values; `started_at` is where times count from, in seconds since the epoch. `cached_tokens` are
        the engine's own count."""
        at = datetime.fromtimestamp(started_at + self.at, UTC).isoformat(timespec="milliseconds")
        rendered: dict[str, object] = {
            "at": at, "request_id": self.request_id, "pick_id": self.pick_id, "pool": self.pool,
            "model": self.model, "target_model": self.target_model, "priority": self.priority,
            "prompt_tokens": self.prompt_tokens, "matched_tokens": self.matched_tokens,
            "candidates": self.candidates, "targets": list(self.targets), "margin": round(self.margin, 6),
            "rejection": self.rejection, "avoided": dict(self.avoided[:CANDIDATES_LIMIT]),
        }  # fmt: skip
        if self.session is not None:
            rendered["session"] = {"source": self.session.source, "id": self.session.id, "tenant": self.session.tenant}
        rendered["cache"] = {"engine_cached_tokens": cached_tokens} | (
            {} if self.parting is None else self.parting._asdict()
        )
        if self.ledger is not None:
            note = self.ledger
            rendered["ledger"] = {
                "endpoint": note.endpoint,
                "before": {"requests": note.requests_before, "tokens": note.tokens_before},
                "after": {"requests": note.requests_after, "tokens": note.tokens_after},
            }
        if self.notes is not None:
            rendered["candidate_endpoints"] = list(self.notes.candidates[:CANDIDATES_LIMIT])
            rendered["filters"] = [
                {"profile": note.profile, "plugin": note.plugin, "removed": list(note.removed[:CANDIDATES_LIMIT]),
                 "removed_count": len(note.removed)}
                for note in self.notes.filters
            ]  # fmt: skip
            rendered["scores"] = [_render_scores(note) for note in self.notes.scores]
            rendered["failures"] = dict(self.notes.failures)
            rendered["totals"] = {
                profile: _best(endpoints, totals) for profile, (endpoints, totals) in self.notes.totals.items()
            }
        return rendered


class DecisionRing:
    """The latest decisions, oldest forgotten first."""

    def __init__(self, limit: int = RING_LIMIT) -> None:
        self._records: deque[DecisionRecord] = deque(maxlen=limit)

    def add(self, record: DecisionRecord) -> None:
        """Keep one."""
        request_id, rejection = record.request_id, record.rejection or ""
        if len(request_id) > WORDS_LIMIT or len(rejection) > WORDS_LIMIT:
            rejection = rejection[:WORDS_LIMIT]
            record = record._replace(request_id=request_id[:WORDS_LIMIT], rejection=rejection or None)
        self._records.append(record)

    def latest(self, count: int) -> list[DecisionRecord]:
        """The newest first."""
        records = list(self._records)
        return records[::-1][: max(0, count)]

    def find(self, request_id: str) -> DecisionRecord | None:
        """The newest by request id or pick id."""
        request_id = request_id[:WORDS_LIMIT]
        for record in reversed(self._records):
            if request_id in (record.request_id, record.pick_id):
                return record
        return None


def margin(totals: Sequence[float], chosen: Sequence[int]) -> float:
    """How far the choice lies ahead of the best other candidate; 0 for a tie, the total itself when alone."""
    if not chosen:
        return 0.0
    best = totals[chosen[0]]
    others = list(totals)
    del others[chosen[0]]
    return best - max(others) if others else best


def _render_scores(note: ScoreNote) -> Mapping[str, object]:
    return {
        "profile": note.profile, "plugin": note.plugin, "weight": note.weight,
        "raw": _best(note.endpoints, note.scores),
        "weighted": _best(note.endpoints, [score * note.weight for score in note.scores]),
    }  # fmt: skip


def _best(endpoints: Sequence[EndpointId], values: Sequence[float]) -> Mapping[str, float]:
    ranked = sorted(zip(endpoints, values, strict=True), key=lambda pair: -pair[1])[:CANDIDATES_LIMIT]
    return {endpoint: round(value, 6) for endpoint, value in ranked}
