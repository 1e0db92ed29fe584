"""One pool as the picker knows it: endpoints by slot, who may be picked now, prefix index and sessions. Pure."""

from collections.abc import Iterable, Sequence
from random import Random

from epp.datalayer.endpoint import NO_METRICS, EndpointState
from epp.datalayer.health import Standing
from epp.datalayer.prefix import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from epp.datalayer.sessions import Sessions
from epp.datalayer.speed import PRIOR_PREFILL_TOKENS_PER_SECOND
from epp.datalayer.tokens import TokenScale
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolSpec, ScrapeFault, ServedModel

# Blocks held over all endpoints of a pool: about 1.5 GB at 0.15 GB per million. Where endpoints have room for more in
# all, each gets an equal share, and its coldest prefixes are forgotten early.
POOL_BLOCKS_LIMIT = 10_000_000


class PoolState:
    """State of one pool; the picker is its only writer."""

    def __init__(self, spec: PoolSpec, now: float) -> None:
        self.spec = spec
        self.index = PrefixIndex()
        self.sessions = Sessions()
        self.token_scale = TokenScale()
        self.block_tokens = 0
        self.engine_block_size: int | None = None
        self.capacity_blocks = DEFAULT_CAPACITY_BLOCKS
        self.follows_engine_capacity = True
        self.prefill_tokens_per_second = PRIOR_PREFILL_TOKENS_PER_SECOND
        self.cold_picks = 0  # counts picks without any cached prefix, for the least recently used order
        self.states: dict[EndpointId, EndpointState] = {}
        self._free_slots: list[int] = []
        self._avoided: set[EndpointId] = set()
        self._regular: list[EndpointState] = []
        self._irregular: list[EndpointState] = []
        self._changes_at = float("-inf")
        self.replace(spec, now)

    def replace(self, spec: PoolSpec, now: float) -> None:
        """Take the endpoints as discovery sees them now; what stays keeps its state."""
        self.spec = spec
        present = {endpoint.id: endpoint for endpoint in spec.endpoints}
        for gone in [state for id_, state in self.states.items() if id_ not in present]:
            del self.states[gone.id]
            self.index.forget(gone.slot)
            self._free_slots.append(gone.slot)
        for endpoint in present.values():
            known = self.states.get(endpoint.id)
            if known is None:
                self.states[endpoint.id] = self._join(endpoint, now)
            else:
                known.endpoint = endpoint
        for state in self.states.values():
            self._set_capacity(state)
        self._changes_at = float("-inf")

    def observe(self, id_: EndpointId, metrics: EngineMetrics, now: float) -> None:
        """Take a scrape."""
        state = self.states.get(id_)
        if state is None:
            return
        was_fresh = state.is_fresh(now)
        before = state.metrics or NO_METRICS
        if before.started_at and metrics.started_at and metrics.started_at > before.started_at:
            self.index.forget(state.slot)  # a restarted server has an empty cache
            self._set_capacity(state)
        is_back = state.health.scrape_succeeded(now)
        state.observe(metrics, now)
        if (metrics.block_count, metrics.block_size) != (before.block_count, before.block_size):
            self.engine_block_size = self._engine_block_size()
            self._set_capacity(state)
        if not was_fresh or is_back:
            self._changes_at = float("-inf")
        elif state.fresh_until < self._changes_at:
            self._changes_at = state.fresh_until

    def observe_fault(self, id_: EndpointId, fault: ScrapeFault) -> bool:
        """A scrape gave nothing. True when the endpoint is ejected by it."""
        state = self.states.get(id_)
        if state is None:
            return False
        reason, is_ejected = f"scrape {fault.value}", False
        if fault is ScrapeFault.REFUSED:
            is_ejected = state.health.scrape_failed(reason)
        elif fault is ScrapeFault.TIMEOUT:
            is_ejected = state.health.scrape_timed_out(reason)
        if is_ejected:
            self.avoid(id_)
        return is_ejected

    def avoid(self, id_: EndpointId) -> None:
        """An endpoint's health has ejected it."""
        self._avoided.add(id_)
        self._changes_at = float("-inf")

    def returned(self, now: float) -> list[EndpointId]:
        """Those that were avoided and are no longer, each told once."""
        back = [
            id_
            for id_ in self._avoided
            if id_ not in self.states or self.states[id_].health.standing(now) is not Standing.EJECTED
        ]
        self._avoided.difference_update(back)
        return [id_ for id_ in back if id_ in self.states]

    def observe_models(self, id_: EndpointId, models: tuple[ServedModel, ...]) -> None:
        """Take an endpoint's model list."""
        state = self.states.get(id_)
        if state is not None:
            state.models = models

    def learn_tokens(self, state: EndpointState, estimated: int, counted: int) -> None:
        """An answer told how long its prompt was. Its endpoint's share of the index follows, so one at a time does."""
        self.token_scale.learn(estimated, counted)
        self._set_capacity(state)

    def candidates(self, now: float, random: Random, among: Iterable[str] | None = None) -> Sequence[EndpointState]:
        """Who may be picked, best class first: good and known; else whoever is there.

        `among` is the proxy's subset; nothing in it is no candidate. The list must not be changed.
        """
        if now >= self._changes_at:
            self._sort(now)
        regular: Sequence[EndpointState] = self._regular
        if self._irregular:
            back = [
                state
                for state in self._irregular
                if state.metrics is not None
                and state.health.standing(now) is Standing.RETURNING
                and state.health.admits(now, random)
            ]
            regular = [*regular, *back] if back else regular
        if among is None:
            return regular or _reachable(self._irregular, now)
        allowed = set(among)
        chosen = [state for state in regular if state.id in allowed]
        return chosen or _reachable([state for state in self._irregular if state.id in allowed], now)

    def set_blocks(self, block_tokens: int) -> None:
        """The size of a block in tokens; blocks of another size mean nothing, so a change forgets them."""
        if block_tokens != self.block_tokens:
            self.block_tokens = block_tokens
            self.index = PrefixIndex()
            for state in self.states.values():
                self._set_capacity(state)

    def _engine_block_size(self) -> int | None:
        """The first that an engine tells: where they differ, one must do for all."""
        for state in self.states.values():
            if state.metrics is not None and state.metrics.block_size:
                return state.metrics.block_size
        return None

    def set_capacity(self, blocks: int, follows_engine: bool) -> None:
        """How many blocks an endpoint holds: as configured, or as its engine says where that is followed and known."""
        if (blocks, follows_engine) != (self.capacity_blocks, self.follows_engine_capacity):
            self.capacity_blocks, self.follows_engine_capacity = blocks, follows_engine
            for state in self.states.values():
                self._set_capacity(state)

    def _set_capacity(self, state: EndpointState) -> None:
        metrics = state.metrics or NO_METRICS
        most = POOL_BLOCKS_LIMIT // max(1, len(self.states))
        if self.follows_engine_capacity and metrics.block_count and metrics.block_size and self.block_tokens:
            tokens = metrics.block_count * metrics.block_size
            blocks = int(tokens / self.token_scale.value) // self.block_tokens
        else:
            blocks = self.capacity_blocks
        self.index.set_capacity(state.slot, min(blocks, most))

    def _join(self, endpoint: Endpoint, now: float) -> EndpointState:
        slot = self._free_slots.pop() if self._free_slots else len(self.states)
        return EndpointState(endpoint, slot, now, self.prefill_tokens_per_second)

    def _sort(self, now: float) -> None:
        self._regular, self._irregular = [], []
        self._changes_at = float("inf")
        for state in self.states.values():
            state.refresh(now)
            is_good = state.metrics is not None and state.health.standing(now) is Standing.GOOD
            (self._regular if is_good else self._irregular).append(state)
            moment = min(state.health.settles_at(now), state.fresh_until if state.is_fresh(now) else float("inf"))
            self._changes_at = min(self._changes_at, moment)


def _reachable(states: Sequence[EndpointState], now: float) -> Sequence[EndpointState]:
    """Those not ejected; else all, since a doubtful endpoint is better than none."""
    return [state for state in states if state.health.standing(now) is not Standing.EJECTED] or states
