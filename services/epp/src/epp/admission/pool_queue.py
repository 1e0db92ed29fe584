"""The queue before one pool: the machine of flow control, with the requests that wait in it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from epp.admission.fleet import FleetShare
from epp.admission.gate import Admission, Applicant, Released
from epp.admission.observer import QueueObserver
from epp.admission.plugins import turned_away
from epp.admission.saturation import PoolSaturation
from epp.config import SchedulerConfig
from epp.domain import Ticket
from epp.flowcontrol.band import Band
from epp.flowcontrol.controller import FlowController, Gated
from epp.flowcontrol.eviction import PAUSE_SECONDS, Running, victims
from epp.flowcontrol.items import NEVER, Item, Limit, Outcome, Size
from epp.flowcontrol.settings import Settings
from epp.scheduling.plugin import Trace
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection

# A verdict leaves this long before the proxy gives up: time passes for the queues about once a second, and a proxy that
# gave up would send the request to some endpoint without being asked.
_ANSWER_SECONDS: Final = 2.0
# What people and metrics see of a band and of a pool, the longest first.
_SHOWN_QUEUES: Final = 20
_SHOWN_FLOWS: Final = 1000
_FLOW: Final = ("fairness_id", "priority", "model", "target_model")


class PoolQueue:
    """See the module's docstring; `FlowGate` owns it."""

    def __init__(self, config: SchedulerConfig, observer: QueueObserver) -> None:
        self._observer = observer
        self._applicants: dict[int, Applicant] = {}
        self._controller = FlowController(Settings())
        self.reconfigure(config)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Another configuration: what waits goes on waiting, under its rules. Without queues in it, everything goes."""
        settings = config.queues or Settings()
        controller = FlowController(settings)
        for item in self._controller.waiting():
            controller.keep(item)
        self._controller = controller
        self._limit = settings.limit
        self._is_closed = config.queues is None
        self._evicts = config.queues is not None and config.queues.evicts
        self._admitters = config.admitters
        self._saturation = PoolSaturation(config.detector)
        self._share = FleetShare()
        self._gated: Gated | None = None  # as of the last look
        self._evicted_at = float("-inf")

    def __len__(self) -> int:
        return len(self._applicants)

    @property
    def size(self) -> Size:
        """All that waits."""
        return self._controller.size

    def admit_at_once(self, applicant: Applicant, now: float) -> Admission | Rejection | None:
        """The verdict on a request that need not wait; None where it must, for its turn or for room."""
        controller = self._controller
        if controller.has_before(applicant.priority):
            return None
        view = applicant.look(now)
        has_endpoints = view is not None or applicant.has_endpoints()
        controller.pool_changed(now, has_endpoints=has_endpoints)
        if view is None:
            return Admission.ADMITTED if has_endpoints else None  # placing says which endpoints are missing
        priority = applicant.priority
        ceiling = self._ceiling_here(controller.ceiling(priority), view, applicant.trace, now)
        if self._saturation.at_most(ceiling, view, applicant.trace, now) >= ceiling:
            return None
        refusal = turned_away(self._admitters, view, applicant.trace) if self._admitters else None
        if refusal is not None:
            self._observer.left(applicant, Outcome.REJECTED_OTHER, 0.0)
            return refusal
        size = Size(1, applicant.body_bytes, applicant.prompt_tokens)
        controller.passed(priority, applicant.fairness_id, size, now)
        self._observer.left(applicant, Outcome.DISPATCHED, 0.0)
        return Admission.ADMITTED

    def enqueue(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """Let a request wait, if there is room for it to wait."""
        item = item_of(applicant, now)
        outcome = self._controller.enqueue(item)
        if outcome is not None:
            return self.refuse(applicant, outcome, now)
        self._applicants[item.id] = applicant
        return Admission.WAITS

    def refuse(self, applicant: Applicant, outcome: Outcome, now: float) -> Rejection:
        """The refusal of a request that may not even wait."""
        self._observer.left(applicant, outcome, 0.0)
        return self._rejection(outcome, applicant.priority, now)

    def cancel(self, number: int, now: float) -> None:
        """The client of a request that waits left."""
        item = self._controller.cancel(number)
        if item is not None:
            self._left(item, Outcome.EVICTED_CANCELLED, now)

    def next(self, now: float) -> Released | None:
        """The request whose turn it is, or whose time is over; None while nothing changes."""
        self._gated = None
        head = self._controller.head()
        if head is None:
            return None
        applicant = self._applicants[head.id]
        view = applicant.look(now)
        self._controller.pool_changed(now, has_endpoints=view is not None or applicant.has_endpoints())
        expired = self._controller.expire(now)
        if expired is not None:
            item, outcome = expired
            rejection = self._rejection(outcome, item.priority, now)
            self._left(item, outcome, now)
            return Released(Ticket(item.id), rejection)
        if self._is_closed or (view is None and applicant.has_endpoints()):
            self._controller.dispatch(head, now)  # placing says which endpoints are missing
            self._left(head, Outcome.DISPATCHED, now)
            return Released(Ticket(head.id))
        return None if view is None else self._dispatch(head, view, now)

    def victims(self, running: Sequence[Running], now: float) -> Sequence[Running]:
        """Who ends for the band that waits for room."""
        if self._gated is None:
            return ()
        found = victims(running, self._gated)
        if found:
            self._evicted_at = now
        return found

    def wants_victims(self, now: float) -> bool:
        """Whether running requests may end now."""
        return self._evicts and self._gated is not None and now - self._evicted_at >= PAUSE_SECONDS

    def answered(self, priority: int, fairness_id: str, tokens: int) -> None:
        """The answer to an admitted request had so many tokens."""
        self._controller.answered(priority, fairness_id, tokens)

    def describe(self, view: SchedulingView | None, trace: Trace, now: float) -> Mapping[str, object]:
        """For people and metrics."""
        oldest = next(self._controller.waiting(), None)
        return {
            "saturation": {} if view is None else dict(self._saturation.by_stage(view, trace)),
            "waiting": self.size._asdict(),
            "limit": _shown(self._limit),
            "oldest_seconds": 0.0 if oldest is None else round(now - oldest.arrived_at, 3),
            "bands": [self._describe_band(band, ceiling, now) for band, ceiling in self._controller.bands()],
            "flows": self._flows(),
        }

    def _flows(self) -> Sequence[Mapping[str, object]]:
        """What waits by fairness id, priority and model."""
        requests: Counter[Sequence[object]] = Counter()
        sizes: Counter[Sequence[object]] = Counter()
        for each in self._applicants.values():
            flow = (each.fairness_id, each.priority, each.model, each.target_model)
            requests[flow] += 1
            sizes[flow] += each.body_bytes
        return [
            dict(zip(_FLOW, flow, strict=True), requests=count, bytes=sizes[flow])
            for flow, count in requests.most_common(_SHOWN_FLOWS)
        ]

    def _describe_band(self, band: Band, ceiling: float, now: float) -> Mapping[str, object]:
        longest = sorted(band.waiting(), key=lambda queue: -queue[1])[:_SHOWN_QUEUES]
        return {
            "priority": band.priority,
            "ceiling": ceiling,
            "waiting": band.size._asdict(),
            "limit": _shown(band.limit),
            "retry_after": round(self._controller.retry_after(band.priority, now), 3),
            "queues": dict(longest),
        }

    def _dispatch(self, head: Item, view: SchedulingView, now: float) -> Released | None:
        trace, ceiling = self._applicants[head.id].trace, self._controller.ceiling(head.priority)
        here = self._ceiling_here(ceiling, view, trace, now)
        saturation = self._saturation.at_most(here, view, trace, now)
        if here <= saturation < ceiling:  # the rest of the room is other replicas', until it is known that it is not
            return None
        item = self._controller.next(saturation, now)
        if item is None:
            self._gated = self._controller.gated(saturation)
            return None
        refusal = turned_away(self._admitters, view, trace)
        self._left(item, Outcome.DISPATCHED if refusal is None else Outcome.REJECTED_OTHER, now)
        return Released(Ticket(item.id), refusal)

    def _ceiling_here(self, ceiling: float, view: SchedulingView, trace: Trace, now: float) -> float:
        return self._share.ceiling(ceiling, view.replicas, now, lambda: self._saturation.of(view, trace))

    def _left(self, item: Item, outcome: Outcome, now: float) -> None:
        self._observer.left(self._applicants.pop(item.id), outcome, now - item.arrived_at)

    def _rejection(self, outcome: Outcome, priority: int, now: float) -> Rejection:
        match outcome:
            case Outcome.REJECTED_NO_ENDPOINTS:
                return refusals.no_ready_endpoint("no endpoints available: the pool is empty")
            case Outcome.EVICTED_NO_ENDPOINTS:
                return refusals.no_ready_endpoint("request timed out in queue and no endpoints are available")
            case Outcome.EVICTED_TTL:
                return refusals.waited_too_long(self._controller.retry_after(priority, now))
            case _:
                return refusals.queue_full(self._controller.retry_after(priority, now))


def _shown(limit: Limit) -> Mapping[str, float]:
    return {"requests": limit.requests, "bytes": limit.bytes, "tokens": limit.tokens}


def item_of(applicant: Applicant, now: float) -> Item:
    """The request as the machine knows it."""
    longest = applicant.longest_wait
    return Item(
        applicant.ticket.number,
        applicant.fairness_id,
        applicant.priority,
        Size(1, applicant.body_bytes, applicant.prompt_tokens),
        now,
        applicant.ttft_objective,
        NEVER if longest is None else longest - min(_ANSWER_SECONDS, longest / 2),
        applicant.session,
    )
