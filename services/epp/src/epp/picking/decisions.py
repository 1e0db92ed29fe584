"""The log of decisions: every placement and refusal goes to the ring that people read, and to the observer. Pure."""

from epp.datalayer.placement import Placement
from epp.datalayer.producers.load import NOTE
from epp.domain import Feedback, PoolId, Request
from epp.picking.answer import Placed, is_rewritten
from epp.picking.caching import CacheLog
from epp.picking.explain import DecisionRecord, DecisionRing, LoadNote, Notes
from epp.picking.inert import InertPlugins
from epp.picking.observer import PickObserver
from epp.prompts.request import InferenceRequest
from gateway.wire.errors import Rejection

REQUEST_ID = "x-request-id"
UNREAD = InferenceRequest(model=None)


class DecisionLog:
    """See the module's docstring."""

    def __init__(self, observer: PickObserver) -> None:
        self._observer = observer
        self.caching = CacheLog()
        self._ring = DecisionRing()
        self.inert = InertPlugins(observer.inert)
        self._failed: set[str] = set()  # plugins, since the configuration was read

    def placed(self, placed: Placed) -> None:
        """A request got its endpoints, which carry it already."""
        prepared, placement = placed.prepared, placed.placement
        request = prepared.request
        parting = self.caching.placed(prepared, placed.longest_match, placement.placed_at, placed.volatile_lines)
        record = DecisionRecord(
            placement.placed_at, request.headers.get(REQUEST_ID, ""), placement.id, placement.pool, placement.model,
            placement.target_model, placement.priority, placement.prompt_tokens, placement.matched_tokens,
            placed.candidates, placement.targets, placed.margin, None, _load_note(placement), placed.notes,
            placed.avoided, prepared.session, parting,
        )  # fmt: skip
        self._ring.add(record)
        self._observer.placed(placement, len(request.body))
        if is_rewritten(prepared):
            self._observer.rewritten(prepared.rewrite, placement.model, placement.target_model)

    def refuse(
        self,
        request: Request,
        pool: PoolId | None,
        rejection: Rejection,
        now: float,
        read: tuple[InferenceRequest, Notes | None] = (UNREAD, None),
    ) -> Rejection:
        """A request was refused; `read` is what is known of it by then. The rejection is given back."""
        parsed, notes = read
        self._observer.rejected(pool, rejection)
        record = DecisionRecord(
            at=now,
            request_id=request.headers.get(REQUEST_ID, ""),
            pick_id=None,
            pool=pool,
            model=parsed.model or "",
            target_model=parsed.target_model,
            priority=parsed.priority,
            prompt_tokens=parsed.prompt_tokens,
            matched_tokens=0,
            candidates=0 if notes is None else len(notes.candidates),
            targets=(),
            margin=0.0,
            rejection=f"{rejection.status} {rejection.code}: {rejection.message}",
            notes=notes,
        )
        self._ring.add(record)
        return rejection

    def reported(self, placement: Placement, feedback: Feedback, now: float) -> None:
        """The access log, or the response, told how a settled request went."""
        self.caching.reported(placement, feedback, now)
        self._observer.reported(feedback, placement)

    def plugin_failed(self, plugin: str, error: str) -> None:
        """A plugin raised, or answered nonsense."""
        self._observer.failed(plugin, error, is_first=plugin not in self._failed)
        self._failed.add(plugin)

    def forget_plugins(self) -> None:
        """Plugins may be others from now on."""
        self.inert.forget()
        self._failed.clear()

    def latest(self, count: int, started_at: float = 0.0) -> tuple[dict[str, object], ...]:
        """The latest decisions, newest first; `started_at` is where times count from, in seconds since the epoch."""
        return tuple(self._render(record, started_at) for record in self._ring.latest(count))

    def explain(self, request_id: str, started_at: float = 0.0) -> dict[str, object] | None:
        """One decision by request id or pick id."""
        record = self._ring.find(request_id)
        return None if record is None else self._render(record, started_at)

    def _render(self, record: DecisionRecord, started_at: float) -> dict[str, object]:
        cached = None if record.pick_id is None else self.caching.cached_tokens(record.pick_id)
        return record.render(started_at, cached)


def _load_note(placement: Placement) -> LoadNote | None:
    """What the endpoint that answers had in flight before and has after."""
    before = placement.notes.get(NOTE)
    if not isinstance(before, tuple):
        return None
    (requests, tokens), shares = before, placement.shares
    primary = shares[0].member
    if len(shares) == 1:
        return LoadNote(primary.endpoint.id, requests, requests + 1, tokens, tokens + shares[0].tokens)
    added = [share.tokens for share in shares if share.member is primary]
    return LoadNote(primary.id, requests, requests + len(added), tokens, tokens + sum(added))
