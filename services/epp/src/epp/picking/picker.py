"""The brain behind one call: which endpoint serves this request. Pure, single-threaded.

Transports call `submit`, `cancel` and `settle`, shells feed `replace_pools`, `observe` and `feedback`; nothing here
awaits, reads a clock or does I/O, and nobody else changes the state. A pick goes

    models list? → pool → body → priority and rewrite → candidates → matches → admission → profiles → reservation

and everything it learns (reservation, prefix, session) is entered before it returns, so that the next pick sees it.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from epp.config import SchedulerConfig
from epp.datalayer.endpoint import EndpointState
from epp.datalayer.ledger import Ledger, Reservation, Share
from epp.datalayer.pool import PoolState
from epp.datalayer.prefix import Stamp, chain, seed_of
from epp.domain import (
    EndpointId,
    EngineMetrics,
    Feedback,
    FeedbackForwarded,
    Outcome,
    Pick,
    PickId,
    PoolId,
    PoolSpec,
    PrefixLearned,
    Reply,
    Request,
    ScrapeFault,
    ServedModel,
    SharedEvent,
    Ticket,
    Verdict,
    Waiter,
    replica_of,
)
from epp.picking import explain, served
from epp.picking.deciding import decide
from epp.picking.explain import DecisionRecord, DecisionRing, LoadNote, Notes
from epp.picking.lessons import learn_from, unlearn
from epp.picking.objectives import priority_of, target_of, with_known_names
from epp.picking.observer import Journal, Observer
from epp.picking.rewrite import replace_model
from epp.prompts import parsing as prompt
from epp.prompts.parsing import InferenceRequest
from epp.scheduling.plugin import Decision, ProfileResult, Trace
from epp.scheduling.profile import NoTrace
from epp.scheduling.sessions import SESSION_HEADER, token_of
from epp.scheduling.view import SchedulingView
from gateway.wire import protocol
from gateway.wire.errors import ErrorCode, Rejection

REQUEST_ID = "x-request-id"
DEFAULT_FLOW = "default-flow"  # the fairness id of requests that name none, as upstream has it
NOBODY: Container[PickId] = frozenset()


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request on its way through `pick`."""

    door: Request
    parsed: InferenceRequest
    pool: PoolState
    view: SchedulingView
    blocks: tuple[int, ...]
    trace: Trace
    notes: Notes | None


class Picker:
    """All pools, one configuration."""

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        random: Random,
        replica: str,
        observer: Observer,
        journal: Journal,
        default_pool: PoolId | None = None,
        explains: bool = False,
    ) -> None:
        self._config = config
        self._random = random
        self._replica = replica
        self._observer = observer
        self._journal = journal
        self._default_pool = default_pool
        self._explains = explains
        self._pools: dict[PoolId, PoolState] = {}
        self._ledger = Ledger()
        self._ring = DecisionRing()
        self._failed: set[str] = set()  # plugins, since the configuration was read
        self._no_trace = NoTrace(self._tell_failure)
        # A restarted picker must not take up ids of its former self, whose feedback may still come.
        self._picks = random.getrandbits(40)

    # What transports ask

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """The verdict on one request, or a ticket if it waits: then `waiter` gets the verdict later."""
        del waiter  # no request waits yet
        return self.pick(request, now)

    def cancel(self, ticket: Ticket, now: float) -> None:
        """The client or the proxy of a waiting request is gone. Unknown tickets are ignored."""

    def pick(self, request: Request, now: float) -> Verdict:
        """The verdict on one request; a Pick is reserved until it is settled."""
        if _asks_for_models(request):
            return self._models(request)
        request = with_known_names(request)
        pool = self._pool_of(request)
        if isinstance(pool, Rejection):
            return self._refuse(request, None, pool, now)
        parsed = prompt.parse(request, is_opaque=self._config.is_opaque)
        if isinstance(parsed, Rejection):
            return self._refuse(request, pool, parsed, now)
        asked = self._ask(request, parsed, pool, now)
        if isinstance(asked, Rejection):
            return self._refuse(request, pool, asked, now, parsed)
        decision = decide(self._config, asked.view, asked.trace)
        if isinstance(decision, Rejection):
            return self._refuse(request, pool, decision, now, asked.parsed, asked.notes)
        return self._commit(asked, decision, now)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick has ended. Only the first word about it counts."""
        reservation = self._ledger.release(pick_id, now)
        if reservation is None:
            return
        pool = self._pools.get(reservation.pool)
        if outcome is Outcome.UNUSED and pool is not None:
            unlearn(reservation, pool)
        self._observer.settled(reservation.pool, pick_id, outcome, now - reservation.picked_at)

    # What shells tell

    def feedback(self, feedback: Feedback, now: float) -> None:
        """An access-log entry. One about another replica's pick is passed on."""
        if not self._is_own(feedback.pick_id):
            self._journal.record(FeedbackForwarded(feedback))
            return
        self._take_feedback(feedback, now)

    def replace_pools(self, pools: Mapping[PoolId, PoolSpec], now: float) -> None:
        """Take discovery's view of all pools."""
        for gone in [id_ for id_ in self._pools if id_ not in pools]:
            del self._pools[gone]
        for id_, spec in pools.items():
            known = self._pools.get(id_)
            if known is None:
                self._pools[id_] = self._prepare(PoolState(spec, now))
            elif known.spec is not spec:  # discovery hands on the same value for a pool that did not change
                known.replace(spec, now)

    def observe(self, pool: PoolId, endpoint: EndpointId, metrics: EngineMetrics | ScrapeFault, now: float) -> None:
        """Take what a scrape gave."""
        state = self._pools.get(pool)
        if state is None:
            return
        if isinstance(metrics, ScrapeFault):
            if state.observe_fault(endpoint, metrics):
                self._observer.ejected(pool, endpoint, f"scrape {metrics.value}")
            return
        state.observe(endpoint, metrics, now)
        self._prepare(state)

    def observe_models(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """Take an endpoint's model list."""
        del now
        state = self._pools.get(pool)
        if state is not None:
            state.observe_models(endpoint, models)

    def apply(self, event: SharedEvent, now: float) -> None:
        """Take what another replica learned."""
        if isinstance(event, FeedbackForwarded):
            if self._is_own(event.feedback.pick_id):
                self._take_feedback(event.feedback, now)
            return
        pool = self._pools.get(event.pool)
        state = None if pool is None else pool.states.get(event.endpoint)
        if pool is not None and state is not None:
            pool.index.learn(state.slot, event.blocks)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Another configuration, from the next pick on."""
        self._config = config
        self._failed.clear()
        for pool in self._pools.values():
            self._prepare(pool)

    def expire(self, now: float, held: Container[PickId] = NOBODY) -> None:
        """Let time pass: ends what nobody spoke of, forgets old sessions. Call about once a second.

        `held` are picks whose streams are open: whatever else is said or not said of them, they live.
        """
        for pick_id in self._ledger.overdue(now, held):
            self.settle(pick_id, Outcome.EXPIRED, now)
        for id_, pool in self._pools.items():
            pool.sessions.expire(now)
            for endpoint in pool.returned(now):
                self._observer.returned(id_, endpoint)

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        """When the endpoint should be scraped again, in seconds from its last scrape."""
        if self._config.metrics.interval:
            return float(self._config.metrics.interval)
        known = self._pools.get(pool)
        state = None if known is None else known.states.get(endpoint)
        return 1.0 if state is None else state.scrape_interval(now)

    def is_ready(self) -> bool:
        """Whether there is a pool to pick from."""
        return bool(self._pools)

    # What people ask

    def pools(self, now: float) -> tuple[dict[str, object], ...]:
        """Every pool with its endpoints, for /debug/pools."""
        return tuple(served.describe_pool(id_, pool, now) for id_, pool in sorted(self._pools.items()))

    def running(self) -> Mapping[str, int]:
        """How many picks of each model have not ended."""
        return Counter(reservation.model for reservation in self._ledger.live())

    def decisions(self, count: int, started_at: float = 0.0) -> tuple[dict[str, object], ...]:
        """The latest decisions, newest first; `started_at` is where this picker's times count from, since the epoch."""
        return tuple(record.render(started_at) for record in self._ring.latest(count))

    def explain(self, request_id: str, started_at: float = 0.0) -> dict[str, object] | None:
        """One decision by request id or pick id."""
        record = self._ring.find(request_id)
        return None if record is None else record.render(started_at)

    # The steps of a pick

    def _models(self, request: Request) -> Reply | Rejection:
        if request.pool is None:
            return Reply(served.list_models(self._pools[id_] for id_ in sorted(self._pools)))
        names = [PoolId(name.strip()) for name in request.pool.split(",") if name.strip()]
        return Reply(served.list_models(self._pools[name] for name in names if name in self._pools))

    def _pool_of(self, request: Request) -> PoolState | Rejection:
        name = request.pool or self._default_pool
        if name is not None:
            found = self._pools.get(name)
            return found or Rejection(503, ErrorCode.NO_READY_ENDPOINT, f"no pool is named {name!r}")
        if len(self._pools) == 1:
            return next(iter(self._pools.values()))
        said = "the route names no pool and there is none" if not self._pools else "the route names no pool"
        return Rejection(503, ErrorCode.NO_READY_ENDPOINT, f"{said}; one must be named where there are several")

    def _ask(self, door: Request, parsed: InferenceRequest, pool: PoolState, now: float) -> _Asked | Rejection:
        states = pool.candidates(now, self._random, door.subset)
        if not states:
            said = "no endpoint is allowed by the proxy's subset" if door.subset is not None else "no endpoint is ready"
            return Rejection(503, ErrorCode.NO_READY_ENDPOINT, f"{said} in pool {pool.spec.id!r}")
        priority = priority_of(door, parsed.model, pool.spec)
        target = target_of(door, parsed.model, pool.spec, self._random)
        if (priority, target) != (parsed.priority, parsed.target_model):
            parsed = replace(parsed, priority=priority, target_model=target)
        blocks = self._blocks(parsed, pool)
        view = SchedulingView(
            request=parsed,
            states=states,
            now=now,
            random=self._random,
            matches=pool.index.match(blocks),
            block_count=len(blocks),
            block_tokens=pool.block_tokens,
            bound=self._bound(parsed, pool, now),
            fallbacks=door.fallbacks,
        )
        notes = Notes([state.id for state in states], tell=self._tell_failure) if self._explains else None
        return _Asked(door, parsed, pool, view, blocks, notes or self._no_trace, notes)

    def _commit(self, asked: _Asked, decision: Decision, now: float) -> Pick:
        result, pool = decision.primary, asked.pool
        chosen = _chosen(result)
        first = chosen[0]
        self._picks += 1
        pick_id = PickId(f"{self._replica}-{self._picks:x}")
        before = (first.in_flight, first.in_flight_tokens)
        reservation = self._reserve(pick_id, asked, decision, now)
        reservation.stamps = self._learn(asked, decision, now)
        targets = tuple(state.id for state in chosen)
        lead = explain.margin(result.totals, result.chosen)
        ledger = LoadNote(first.id, before[0], first.in_flight, before[1], first.in_flight_tokens)
        parsed = asked.parsed
        self._ring.add(DecisionRecord(
            now, asked.door.headers.get(REQUEST_ID, ""), pick_id, pool.spec.id, parsed.model or "",
            parsed.target_model, parsed.priority, parsed.prompt_tokens, reservation.matched_tokens,
            len(asked.view.states), targets, lead, None, ledger, asked.notes,
        ))  # fmt: skip
        self._observer.decided(
            pool.spec.id, first.id, parsed.model or "", parsed.target_model, parsed.priority, parsed.prompt_tokens,
            reservation.matched_tokens, len(asked.door.body),
        )  # fmt: skip
        return Pick(
            pick_id, pool.spec.id, targets, self._request_headers(decision), self._rewritten(asked),
            self._response_headers(asked, first, lead), parsed.model,
        )  # fmt: skip

    def _reserve(self, pick_id: PickId, asked: _Asked, decision: Decision, now: float) -> Reservation:
        parsed, pool = asked.parsed, asked.pool
        matched = asked.view.matches.get(_primary(decision.primary).slot, 0)
        matched_tokens = min(matched * pool.block_tokens, parsed.prompt_tokens)
        answer_tokens = self._config.load.output_tokens(parsed.prompt_tokens, parsed.max_tokens)
        shares = _shares(decision, parsed.prompt_tokens - matched_tokens, answer_tokens)
        ahead = [share.reserve(now) for share in shares]
        reservation = Reservation(
            id=pick_id,
            pool=pool.spec.id,
            shares=shares,
            model=parsed.model or "",
            target_model=parsed.target_model,
            objective=asked.door.headers.get(protocol.OBJECTIVE, ""),
            fairness_id=asked.door.headers.get(protocol.FAIRNESS_ID, DEFAULT_FLOW),
            prompt_tokens=parsed.prompt_tokens,
            matched_tokens=matched_tokens,
            ahead_tokens=int(ahead[0] if decision.prefill is None else ahead[1]),
            block_tokens=pool.block_tokens,
            blocks=asked.blocks,
            new_from=matched,
            picked_at=now,
            heard_at=now,
        )
        self._ledger.reserve(reservation)
        return reservation

    def _learn(self, asked: _Asked, decision: Decision, now: float) -> Sequence[Stamp | None]:
        """Enter what the endpoints will hold; when the primary last touched each block before."""
        pool, blocks = asked.pool, asked.blocks
        stamps: list[Sequence[Stamp | None]] = []
        legs = [decision.primary] + ([decision.prefill] if decision.prefill is not None else [])
        for leg in legs:
            state = _primary(leg)
            if blocks:
                stamps.append(pool.index.learn(state.slot, blocks))
                self._journal.record(PrefixLearned(pool.spec.id, state.id, blocks))
            if not asked.view.matches:
                pool.cold_picks += 1
                state.last_cold = pool.cold_picks
        session = self._session(asked.parsed)
        affinity = self._config.affinity
        if session and affinity is not None:
            pool.sessions.bind(session, _primary(decision.primary).id, now, affinity.eviction_ttl_seconds)
        return stamps[0] if stamps else ()

    def _blocks(self, parsed: InferenceRequest, pool: PoolState) -> tuple[int, ...]:
        if not self._config.uses_prefix or not parsed.canonical:
            return ()
        seed = seed_of(parsed.target_model, parsed.cache_salt)
        size = pool.block_tokens
        return chain(parsed.canonical, seed, size * prompt.BYTES_PER_TOKEN, self._config.prefix.max_blocks(size))

    def _session(self, parsed: InferenceRequest) -> str | None:
        """The session id to bind by; None where sessions are not bound by id."""
        affinity, producer = self._config.affinity, self._config.session
        if affinity is None or affinity.strategy != "session_id":
            return None
        return parsed.headers.get(SESSION_HEADER) if producer is None else producer.session(parsed.headers)

    def _bound(self, parsed: InferenceRequest, pool: PoolState, now: float) -> EndpointId | None:
        session = self._session(parsed)
        return pool.sessions.endpoint(session, now) if session else None

    def _request_headers(self, decision: Decision) -> tuple[tuple[str, str], ...]:
        headers: tuple[tuple[str, str], ...] = ()
        if decision.prefill is not None:
            headers = ((protocol.PREFILL_ENDPOINT, _primary(decision.prefill).id),)
        if decision.encode is not None:
            headers += ((protocol.ENCODE_ENDPOINTS, ",".join(state.id for state in _chosen(decision.encode))),)
        return headers

    def _rewritten(self, asked: _Asked) -> bytes | None:
        parsed = asked.parsed
        if parsed.model is None or parsed.target_model == parsed.model:
            return None
        self._observer.rewritten(asked.pool.spec.id, parsed.model, parsed.target_model)
        return replace_model(asked.door.body, parsed.target_model)

    def _response_headers(self, asked: _Asked, first: EndpointState, lead: float) -> tuple[tuple[str, str], ...]:
        headers: tuple[tuple[str, str], ...] = tuple((name, token_of(first.id)) for name in self._config.token_headers)
        if self._explains and asked.door.headers.get(protocol.EXPLAIN) == "true":
            headers += ((protocol.EXPLAIN_ENDPOINT, first.id), (protocol.EXPLAIN_MARGIN, f"{lead:.4f}"))
        return headers

    def _tell_failure(self, plugin: str, error: str) -> None:
        self._observer.failed(plugin, error, is_first=plugin not in self._failed)
        self._failed.add(plugin)

    def _refuse(
        self, door: Request, pool: PoolState | None, rejection: Rejection, now: float,
        parsed: InferenceRequest | None = None,
        notes: Notes | None = None,
    ) -> Rejection:  # fmt: skip
        id_ = None if pool is None else pool.spec.id
        self._observer.rejected(id_, rejection)
        parsed = parsed or InferenceRequest(model=None)
        said = f"{rejection.status} {rejection.code}: {rejection.message}"
        candidates = 0 if notes is None else len(notes.candidates)
        self._ring.add(DecisionRecord(
            now, door.headers.get(REQUEST_ID, ""), None, id_, parsed.model or "", parsed.target_model,
            parsed.priority, parsed.prompt_tokens, 0, candidates, (), 0.0, said, None, notes,
        ))  # fmt: skip
        return rejection

    # Feedback

    def _is_own(self, pick_id: PickId) -> bool:
        return replica_of(pick_id) == self._replica

    def _take_feedback(self, feedback: Feedback, now: float) -> None:
        if not feedback.is_final:
            self._ledger.heard(feedback.pick_id, now)
            return
        self.settle(feedback.pick_id, Outcome.ENDED, now)
        reservation = self._ledger.report(feedback.pick_id)
        if reservation is None:
            return
        pool = self._pools.get(reservation.pool)
        if pool is not None:
            learn_from(feedback, reservation, pool, self._observer, now)
        self._observer.reported(
            feedback, reservation.model, reservation.target_model, reservation.objective, reservation.fairness_id
        )

    def _prepare(self, pool: PoolState) -> PoolState:
        """Apply what the configuration and the engines say about blocks."""
        prefix = self._config.prefix
        pool.set_blocks(prefix.block_tokens(pool.engine_block_size))
        pool.set_capacity(prefix.lru_capacity_per_server, prefix.auto_tune)
        return pool


def _primary(result: ProfileResult) -> EndpointState:
    return result.view.states[result.chosen[0]]


def _chosen(result: ProfileResult) -> list[EndpointState]:
    return [result.view.states[at] for at in result.chosen]


def _shares(decision: Decision, uncached: int, answer: int) -> tuple[Share, ...]:
    """Who carries what: the answer is generated by the primary, the prompt is computed there or by the prefill leg."""
    primary = _primary(decision.primary)
    encoders = () if decision.encode is None else _chosen(decision.encode)
    encoding = tuple(Share(state, 0, holds_prompt=False) for state in encoders)
    if decision.prefill is None:
        return (Share(primary, uncached, answer), *encoding)
    return (Share(primary, 0, answer), Share(_primary(decision.prefill), uncached), *encoding)


def _asks_for_models(request: Request) -> bool:
    return request.method in ("GET", "HEAD") and request.path.partition("?")[0].rstrip("/").endswith("/v1/models")
