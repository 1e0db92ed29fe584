"""The picker: a request's life from `submit` to its settlement. Pure, single-threaded.

    submit: prepare → admit → place → Pick        (or a rejection, the model list, or a ticket that waits)
    observe, settle: heartbeats, ends and reports → released once, learned from

Transports call `submit`, `cancel` and `settle`; shells feed `pools`, `observe`, `apply` and `pass_time`. Nothing here
awaits, reads a clock or does I/O, and nobody else changes the state. What a placement teaches is known before `submit`
returns, so that the next one is made with it.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from random import Random

from epp.admission.configured import ConfiguredGate
from epp.admission.gate import Gate
from epp.admission.observer import NoQueueObserver
from epp.config import SchedulerConfig
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
    Request,
    RunId,
    ScrapeFault,
    ServedModel,
    ServerDrained,
    SharedEvent,
    Ticket,
    Verdict,
    Waiter,
    pick_id_of,
)
from epp.picking import answer, model_lists, place
from epp.picking.admitting import Admitting, Shell, Steps
from epp.picking.decisions import DecisionLog
from epp.picking.draining import Draining
from epp.picking.explain import Notes
from epp.picking.objectives import with_known_names
from epp.picking.observer import PickObserver, Publisher
from epp.picking.pools import Pools
from epp.picking.prepare import Prepared, parse, prepare, with_blocks
from epp.picking.settle import Settlement
from epp.picking.waiting import Waiting
from epp.scheduling.plugin import Trace
from epp.scheduling.profile import NoTrace
from epp.scheduling.view import SchedulingView
from gateway.wire import protocol
from gateway.wire.errors import Rejection

HELD_BY_NOBODY: Container[PickId] = frozenset()
# Endpoints are scraped this often while requests wait for them, whatever their load looks like.
WAITING_INTERVAL = 0.05


class Picker:
    """All pools, one configuration, one gate."""

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        random: Random,
        replica: str,
        observer: PickObserver,
        journal: Publisher | None = None,
        default_pool: PoolId | None = None,
        explains: bool = False,
        gate: Gate | None = None,
        shell: Shell | None = None,
    ) -> None:
        self.decisions = DecisionLog(observer)
        # A restarted picker must not take up ids of its former self, whose reports may still come.
        self.run = RunId(f"{replica}-{random.getrandbits(24):06x}")
        self.pools = Pools(
            config, observer, self.decisions.plugin_failed, default_pool, publisher=journal, run=self.run
        )
        self.draining = Draining(self.pools, journal)
        self._config = config
        self._random = random
        self._observer = observer
        self._explains = explains
        gate = gate or ConfiguredGate(config, NoQueueObserver())
        self._settlement = Settlement(
            replica, self.pools.states, journal, observer, gate.answered, reported=self.decisions.reported
        )
        self._admitting = Admitting(gate, Steps(self._place, self._refuse), self._settlement, shell)
        self._no_trace = NoTrace(self.decisions.plugin_failed)
        self._picks = 0  # of this run

    # What transports call

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """The verdict on one request; or a ticket, and the waiter gets the verdict later. A Pick is reserved until it
        is settled."""
        model = model_lists.requested(request)
        if model is not None:
            listed = model_lists.allowed(self.pools.models(request.pool), request.headers.get(protocol.ALLOWED_MODELS))
            return model_lists.verdict(listed, model)
        request = with_known_names(request)
        pool = self.pools.of(request)
        if isinstance(pool, Rejection):
            return self.decisions.refuse(request, None, pool, now)
        poison = None if request.is_begun else self._settlement.poison.refuse(request.body, now)
        if poison is not None:
            return self.decisions.refuse(request, pool.spec.id, poison, now)
        parsed = parse(request, self._config)
        if isinstance(parsed, Rejection):
            return self.decisions.refuse(request, pool.spec.id, parsed, now)
        size = self.pools.block_tokens(pool.spec.id)
        prepared = prepare(
            request, parsed, pool.spec, self._config, self._random, block_tokens=size, begun=pool.stored.session
        )
        return self._admit(prepared, waiter, now)

    def cancel(self, ticket: Ticket, now: float) -> None:
        """The client or the proxy of a request that waits is gone. Unknown tickets are ignored."""
        self._admitting.cancel(ticket, now)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over. Later calls and unknown ids change nothing."""
        if self._settlement.settle(pick_id, outcome, now):
            self._admitting.release(now)

    # What shells call

    def observe(self, feedback: Feedback, now: float) -> None:
        """A heartbeat, or how a request went, from the access log or the response."""
        if self._settlement.observe(feedback, now):
            self._admitting.release(now)

    def apply(self, event: SharedEvent, now: float) -> None:
        """Take what another replica shared. Once all that came at one time is taken, `resume` lets those go on that
        wait for room: what ended elsewhere may have made place for what began there."""
        match event:
            case FeedbackForwarded(feedback):
                self._settlement.observe_own(feedback, now)
            case ServerDrained(server, seconds):
                self.draining.drain(server, seconds, now)
            case _:
                self.pools.learned_elsewhere(event, now)

    def replace_pools(self, specs: Mapping[PoolId, PoolSpec], now: float) -> None:
        """Take discovery's view of all pools."""
        self.pools.replace(specs, now)
        self._admitting.release(now)

    def scraped(self, pool: PoolId, endpoint: EndpointId, found: EngineMetrics | ScrapeFault, now: float) -> None:
        """Take what a scrape gave."""
        self.pools.scraped(pool, endpoint, found, now)
        self._admitting.release(now)

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """Take an endpoint's model list."""
        self.pools.models_listed(pool, endpoint, models, now)

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        """When the endpoint should be scraped again, in seconds from its last scrape."""
        interval = self.pools.scrape_interval(pool, endpoint, now)
        return min(interval, WAITING_INTERVAL) if self._admitting.waits_for(pool) else interval

    def reconfigure(self, config: SchedulerConfig, now: float) -> None:
        """Another configuration, from the next request on."""
        self._config = config
        self.decisions.forget_plugins()
        self.pools.reconfigure(config, now)
        self._admitting.reconfigure(config, now)

    def pass_time(self, now: float, held: Container[PickId] = HELD_BY_NOBODY) -> None:
        """Let time pass: call about once a second. Picks without a sign of life are settled.

        `held` are picks whose streams are open: they live, whatever else is reported or not.
        """
        self._settlement.expire(now, held)
        self.pools.pass_time(now)
        self._admitting.release(now)

    def beat(self, now: float) -> None:
        """Tell other replicas that this one lives, and see who of them does not: about twice a second where there are
        any."""
        self.pools.beat(now)
        self._admitting.release(now)

    def resume(self, now: float) -> None:
        """Go on giving verdicts, where the last release stopped (see `Shell`), or after `apply`."""
        self._admitting.release(now)

    def queues(self, now: float) -> Sequence[Mapping[str, object]]:
        """What waits before each pool, for people and metrics."""
        return self._admitting.describe(self._look_at_all, now)

    def running(self) -> Mapping[str, int]:
        """How many picks of each model have not ended."""
        return Counter(placement.model for placement in self._settlement.ledger.live())

    # The steps

    def _admit(self, prepared: Prepared, waiter: Waiter, now: float) -> Verdict | Ticket:
        notes = Notes(failed_plugin=self.decisions.plugin_failed) if self._explains else None
        number = self._admitting.next_number()
        trace: Trace = notes or self._no_trace
        if self.decisions.inert.looks_at(number):
            trace = self.decisions.inert.trace(trace)
        waiting = Waiting(number, prepared, waiter, trace, notes, self._look, self.pools.states)  # by position: faster
        return self._admitting.submit(waiting, now)

    def _look(self, waiting: Waiting, now: float) -> SchedulingView | None:
        """The candidates of a request, for the gate."""
        pool = self.pools.states.get(waiting.pool)
        if pool is None:
            return None
        found = place.candidates_of(self._cut(waiting.prepared), pool, now, self._random)
        if found is not None and waiting.notes is not None:
            _note_candidates(waiting.notes, found.view)
        return None if found is None else found.view

    def _look_at_all(self, pool: PoolId, now: float) -> SchedulingView | None:
        """All candidates of a pool, whatever is asked of it."""
        state = self.pools.states.get(pool)
        return None if state is None else place.everybody_of(state, now, self._random)

    def _place(self, waiting: Waiting, now: float) -> Pick | Rejection:
        prepared = waiting.prepared
        pool = self.pools.states.get(prepared.spec.id)
        if pool is None:
            return self._refuse(waiting, place.none_ready(prepared), now)
        prepared = self._cut(prepared)
        found = place.candidates_of(prepared, pool, now, self._random)
        if found is None:
            return self._refuse(waiting, place.none_ready(prepared), now)
        if waiting.notes is not None:
            _note_candidates(waiting.notes, found.view)
        decision = place.decide(self._config, found.view, waiting.trace)
        if isinstance(decision, Rejection):
            return self._refuse(waiting, decision, now)
        if found.probe is not None:
            decision = place.with_probe(decision, found.probe)
        placement = place.placement_of(self._next_id(), prepared, decision, pool, self._config)
        if resorts := place.last_resorts(decision, found, pool, self._config):
            placement = placement._replace(targets=placement.targets + resorts)
        self._settlement.reserve(placement, found.placing, pool)
        placed = answer.Placed(
            prepared, decision, placement, len(found.view), waiting.notes, found.avoided,
            place.longest_match(found.placing), self._config.prefix.volatile_lines,
        )  # fmt: skip
        self.decisions.placed(placed)
        return answer.pick(placed, self._config, explains=self._explains)

    def _refuse(self, waiting: Waiting, rejection: Rejection, now: float) -> Rejection:
        prepared = waiting.prepared
        return self.decisions.refuse(
            prepared.request, prepared.spec.id, rejection, now, (prepared.parsed, waiting.notes)
        )

    def _cut(self, prepared: Prepared) -> Prepared:
        """With blocks of the size that the pool has now."""
        return with_blocks(prepared, self.pools.block_tokens(prepared.spec.id), self._config)

    def _next_id(self) -> PickId:
        self._picks += 1
        return pick_id_of(self.run, self._picks)


def _note_candidates(notes: Notes, view: SchedulingView) -> None:
    notes.candidates = [endpoint.id for endpoint in view.endpoints]
