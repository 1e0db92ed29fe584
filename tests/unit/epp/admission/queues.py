"""A picker with flow control over a pool of a few endpoints, and clients that count their verdicts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from epp.admission.configured import ConfiguredGate
from epp.admission.observer import NoQueueObserver, QueueObserver
from epp.config import parse_config
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Outcome,
    Pick,
    PickId,
    PoolId,
    PoolSpec,
    Request,
    Ticket,
    Verdict,
)
from epp.picking.admitting import Shell
from epp.picking.observer import NullObserver, Publisher
from epp.picking.picker import Picker
from gateway.wire import protocol
from gateway.wire.errors import Rejection

POOL = PoolId("default/pool")
IDS = tuple(EndpointId(f"10.0.0.{number}:8000") for number in range(4))
PRIORITIES = {"interactive": 1, "standard": 0, "batch": -1}
# Four endpoints with two slots each, which count what is in flight.
SLOTS = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: concurrency-detector, parameters: {maxConcurrency: 2}}, {type: queue-scorer}]
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
"""
# The default detector, which knows what scrapes tell.
SCRAPES = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}]
"""


@dataclass(eq=False)
class Client:
    """Takes verdicts; each is a client of its own."""

    verdicts: list[Verdict] = field(default_factory=list)

    def decide(self, verdict: Verdict, now: float) -> None:
        self.verdicts.append(verdict)

    @property
    def picks(self) -> list[Pick]:
        return [verdict for verdict in self.verdicts if isinstance(verdict, Pick)]

    @property
    def rejections(self) -> list[Rejection]:
        return [verdict for verdict in self.verdicts if isinstance(verdict, Rejection)]


class Queues:
    """The picker under test. Every verdict, early or late, goes to the client of its request."""

    def __init__(
        self,
        text: str = SLOTS,
        *,
        endpoints: int = 4,
        shell: Shell | None = None,
        observer: QueueObserver | None = None,
        replica: str = "r",
        journal: Publisher | None = None,
    ) -> None:
        config = parse_config(text, "test")
        gate = ConfiguredGate(config, observer or NoQueueObserver())
        self.picker = Picker(
            config, random=Random(1), replica=replica, observer=NullObserver(), journal=journal, gate=gate, shell=shell
        )
        self.tickets: dict[Ticket, Client] = {}
        self.pool(endpoints, 0.0)
        self.scrape(0.0)

    def pool(self, endpoints: int, now: float) -> None:
        """Let the pool have the first so many endpoints."""
        members = tuple(Endpoint(id_, id_.partition(":")[0], 8000, id_) for id_ in IDS[:endpoints])
        self.picker.replace_pools({POOL: PoolSpec(POOL, members, PRIORITIES)}, now)

    def scrape(self, now: float, *, waiting: int = 0, running: int = 0, kv_usage: float = 0.0) -> None:
        """Scrape every endpoint; all say the same."""
        for id_ in IDS:
            self.picker.scraped(POOL, id_, EngineMetrics(waiting, running, kv_usage), now)

    def send(
        self,
        now: float,
        objective: str = "standard",
        *,
        flow: str = "",
        client: Client | None = None,
        text: str = "hi",
        headers: Mapping[str, str] | None = None,
        longest_wait: float | None = None,
        subset: tuple[str, ...] | None = None,
    ) -> Client:
        """One request."""
        client = client or Client()
        given = {protocol.OBJECTIVE: objective, **({protocol.FAIRNESS_ID: flow} if flow else {}), **(headers or {})}
        body = b'{"model": "m", "prompt": "%b"}' % text.encode()
        request = Request(POOL, "POST", "/v1/completions", given, body, subset=subset, longest_wait=longest_wait)
        verdict = self.picker.submit(request, client, now)
        if isinstance(verdict, Ticket):
            self.tickets[verdict] = client
        else:
            client.verdicts.append(verdict)
        return client

    def fill(self, now: float, objective: str = "standard") -> list[PickId]:
        """Take every slot of the pool; the picks."""
        return list(self._fill(now, objective))

    def _fill(self, now: float, objective: str) -> Iterator[PickId]:
        for _ in range(2 * len(IDS)):
            (pick,) = self.send(now, objective).picks
            yield pick.id

    def end(self, pick_id: PickId, now: float) -> None:
        """An answer is over."""
        self.picker.settle(pick_id, Outcome.ENDED, now)

    def cancel(self, client: Client, now: float) -> None:
        """A client leaves."""
        (ticket,) = [ticket for ticket, known in self.tickets.items() if known is client]
        self.picker.cancel(ticket, now)
