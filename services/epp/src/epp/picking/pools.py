"""All pools: what discovery, scrapes and other replicas report goes in here. Pure; the picker owns it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from epp.config import SchedulerConfig
from epp.datalayer.builtin import Builtin, builtin
from epp.datalayer.events import Configured, HeartbeatDue, PrefixSettings
from epp.datalayer.pool import PoolState
from epp.datalayer.producer import Producers
from epp.datalayer.shared import NO_RUN, Shared
from epp.datalayer.standing.signals import Signal
from epp.domain import (
    EndpointId,
    EngineMetrics,
    PoolId,
    PoolSpec,
    Request,
    RunId,
    ScrapeFault,
    ServedModel,
    SharedEvent,
)
from epp.picking import model_lists
from epp.picking.observer import PickObserver, Publisher
from epp.picking.own_producers import Failed, own_producers
from epp.picking.pool_report import describe_pool, served_models
from epp.prompts.stored import named_by_path
from gateway.wire import protocol, refusals
from gateway.wire.errors import Rejection

DEFAULT_SESSION_SECONDS = 300.0
UNKNOWN_SCRAPE_SECONDS = 1.0


class Pools:
    """Pools by id, each with its producers, under one configuration."""

    def __init__(
        self,
        config: SchedulerConfig,
        observer: PickObserver,
        failed: Failed,
        default_pool: PoolId | None = None,
        *,
        publisher: Publisher | None = None,
        run: RunId = NO_RUN,
    ) -> None:
        self.states: dict[PoolId, PoolState] = {}
        self._builtin: dict[PoolId, Builtin] = {}
        self._config = config
        self._observer = observer
        self._failed = failed
        self._default_pool = default_pool
        self._publish = None if publisher is None else publisher.publish
        self._run = run

    def __len__(self) -> int:
        return len(self.states)

    def replace(self, specs: Mapping[PoolId, PoolSpec], now: float) -> None:
        """Take discovery's view of all pools."""
        for gone in [id_ for id_ in self.states if id_ not in specs]:
            del self.states[gone], self._builtin[gone]
        for id_, spec in specs.items():
            known = self.states.get(id_)
            if known is None:
                self._add(id_, spec, now)
            elif known.spec is not spec:  # discovery gives the same value for a pool that did not change
                known.replace(spec, now)

    def reconfigure(self, config: SchedulerConfig, now: float) -> None:
        """Another configuration; producers keep what they know."""
        self._config = config
        for pool in self.states.values():
            pool.handle(configured(config), now)

    def scraped(self, pool: PoolId, endpoint: EndpointId, found: EngineMetrics | ScrapeFault, now: float) -> None:
        """Take what a scrape gave."""
        state = self.states.get(pool)
        if state is None:
            return
        match found:
            case ScrapeFault():
                state.scrape_failed(endpoint, found, now)
            case EngineMetrics():
                state.scraped(endpoint, found, now)

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """Take an endpoint's model list."""
        state = self.states.get(pool)
        if state is not None:
            state.models_listed(endpoint, models, now)

    def learned_elsewhere(self, event: SharedEvent, now: float) -> None:
        """Take what another replica did or learned."""
        state = self.states.get(event.pool)
        if state is not None:
            state.handle(event, now)

    def others_in_flight(self, pool: PoolId, slot: int) -> int:
        """Requests that other replicas have at one endpoint, as far as they share it."""
        requests, _ = self._builtin[pool].load.elsewhere(slot)
        return requests

    def live(self, pool: PoolId, since: float) -> Sequence[RunId]:
        """The runs of other replicas that gave a sign since then."""
        known = self._builtin.get(pool)
        return () if known is None else known.others.seen_since(since)

    def scraped_by(self, pool: PoolId, endpoint: EndpointId, by: str) -> None:
        """Who scrapes an endpoint, for people."""
        state = self.states.get(pool)
        if state is not None and state.member(endpoint) is not None:
            state.scraped_by[endpoint] = by

    def replicas(self, now: float) -> Mapping[PoolId, object]:
        """The runs of other replicas, for people."""
        return {id_: known.others.describe(now) for id_, known in self._builtin.items()}

    def restate(self, pool: PoolId) -> Iterator[SharedEvent]:
        """What this replica has in flight, for others that lack it."""
        known = self._builtin.get(pool)
        return iter(()) if known is None else known.own_picks.facts()

    def everything(self, pool: PoolId) -> Iterator[SharedEvent]:
        """All that this replica knows of a pool, for one that knows nothing, made as it is read. What is in flight
        comes first: it matters at once."""
        state, known = self.states.get(pool), self._builtin.get(pool)
        if state is None or known is None:
            return
        yield from known.own_picks.facts()
        yield from known.others.facts(pool)
        yield from state.roster.facts()
        yield from known.prefill.facts()
        yield from known.sessions.facts()
        yield from state.stored.facts()
        yield from known.prefixes.facts()

    def beat(self, now: float) -> None:
        """About half a second went by, and there are other replicas."""
        for state in self.states.values():
            state.handle(HeartbeatDue(), now)

    def pass_time(self, now: float) -> None:
        """About a second went by."""
        for state in self.states.values():
            state.pass_time(now)

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        """When the endpoint should be scraped again, in seconds from its last scrape."""
        if self._config.metrics.interval:
            return float(self._config.metrics.interval)
        state = self.states.get(pool)
        member = None if state is None else state.member(endpoint)
        if member is None:
            return UNKNOWN_SCRAPE_SECONDS
        return self._builtin[pool].load.of(member.slot, now).scrape_interval(now)

    def block_tokens(self, pool: PoolId) -> int:
        """Tokens in a block of prompts of this pool."""
        return self._builtin[pool].prefixes.block_tokens

    def of(self, request: Request) -> PoolState | Rejection:
        """The pool that a request is for."""
        name = request.pool or self._default_pool
        if name is not None and "," in name:
            return self._one_of(name.split(","), request.path)
        if name is not None:
            return self.states.get(name) or refusals.no_ready_endpoint(f"no pool is named {name!r}")
        if len(self.states) == 1:
            return next(iter(self.states.values()))
        reason = "the route names no pool and there is none" if not self.states else "the route names no pool"
        return refusals.no_ready_endpoint(f"{reason}; one must be named where there are several")

    def _one_of(self, pools: Iterable[str], path: str) -> PoolState | Rejection:
        """Of several pools one with servers where a gateway's health is asked for, else the one with the server that
        keeps what a path names."""
        known = (self.states.get(PoolId(name.strip())) for name in pools)
        states = [state for state in known if state is not None]
        if path.partition("?")[0] == protocol.GATEWAY_HEALTH_PATH:
            serving = next((state for state in states if state.roster.members), None)
            return serving or refusals.no_ready_endpoint("no pool of the gateway has an endpoint")
        stored_id = named_by_path(path)
        if stored_id is None:
            return refusals.model_missing()
        return next((s for s in states if s.home(stored_id) is not None), None) or refusals.stored_not_found()

    def models(self, pools: str | None) -> bytes:
        """The model list of the pools in a comma-separated list, or of all."""
        names = sorted(self.states) if pools is None else [PoolId(name.strip()) for name in pools.split(",")]
        found = {name: self._served(name) for name in names}
        silent = (name for name, models in found.items() if not models)
        listed = (model for name, models in found.items() for model in models or self._remembered(name))
        return model_lists.document(listed, silent)

    def names(self) -> tuple[AbstractSet[str], AbstractSet[str]]:
        """The models and the objectives that exist: a server lists them, or an object names them."""
        models: set[str] = set()
        objectives: set[str] = set()
        for id_, state in self.states.items():
            models |= self._builtin[id_].engines.model_names()
            models |= state.spec.model_priorities.keys()
            models |= {target.model for rule in state.spec.rewrites for target in rule.targets}
            models |= {model for rule in state.spec.rewrites for model in rule.models}
            objectives |= state.spec.priorities.keys()
        return models, objectives

    def adapter_requests(self) -> Mapping[PoolId, Mapping[str, int]]:
        """Requests for adapters since the start, by what they found; see `AdapterProducer`."""
        return {id_: known.adapters.placed for id_, known in self._builtin.items()}

    def describe(self, now: float) -> tuple[dict[str, object], ...]:
        """Every pool with its endpoints, for /debug/pools."""
        pools, builtin_, config = sorted(self.states.items()), self._builtin, self._config
        return tuple(describe_pool(id_, (pool, builtin_[id_]), config, now) for id_, pool in pools)

    def _served(self, pool: PoolId) -> tuple[ServedModel, ...]:
        known = self.states.get(pool)
        return () if known is None else tuple(served_models((known, self._builtin[pool])))

    def _remembered(self, pool: PoolId) -> tuple[ServedModel, ...]:
        """Of a pool whose servers list nothing: what a server listed last, else what objects name."""
        known = self.states.get(pool)
        if known is None:
            return ()
        named = {model for rule in known.spec.rewrites for model in rule.models} | known.spec.model_priorities.keys()
        return self._builtin[pool].engines.last_models or tuple(model_lists.named(model) for model in sorted(named))

    def _add(self, id_: PoolId, spec: PoolSpec, now: float) -> None:
        shared = Shared(id_, self._run, self._publish)
        known = self._builtin[id_] = builtin(shared=shared)
        own = own_producers(self._config.producers, id_, self._failed)
        pool = PoolState(spec, Producers((*known.in_order(), *own)), _PoolObserver(id_, self._observer), shared)
        self.states[id_] = pool
        pool.handle(configured(self._config), now)
        pool.replace(spec, now)


class _PoolObserver:
    """Adds the pool's name to what its roster reports."""

    def __init__(self, pool: PoolId, observer: PickObserver) -> None:
        self._pool = pool
        self._observer = observer

    def ejected(self, endpoint: EndpointId, reason: str) -> None:
        """An endpoint is avoided from now on."""
        self._observer.ejected(self._pool, endpoint, reason)

    def returned(self, endpoint: EndpointId) -> None:
        """An avoided endpoint gets traffic again."""
        self._observer.returned(self._pool, endpoint)

    def attempt_failed(self, signal: Signal) -> None:
        """An attempt of a request failed."""
        self._observer.attempt_failed(self._pool, signal)


def configured(config: SchedulerConfig) -> Configured:
    """A configuration as producers read it."""
    prefix, affinity = config.prefix, config.affinity
    seconds = DEFAULT_SESSION_SECONDS if affinity is None else affinity.eviction_ttl_seconds
    settings = PrefixSettings(prefix.block_tokens, prefix.lru_capacity_per_server, prefix.auto_tune)
    return Configured(settings, seconds)
