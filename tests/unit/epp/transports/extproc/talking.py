"""One conversation with a picker that decides as the test wants, at once or later."""

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route
from gateway.extproc.protocol import messages
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    Direction,
    HeadersReceived,
    Metadata,
    Modes,
)

REQUEST = Direction.REQUEST
RESPONSE = Direction.RESPONSE
HEADERS = {":method": "POST", ":path": "/v1/completions", "content-type": "application/json"}
PICK = Pick(
    PickId("r-1"),
    PoolId("default/a"),
    (EndpointId("10.0.0.1:80"), EndpointId("[::1]:81")),
    (("x-prefiller-host-port", "p:1"),),
)


class Picker:
    """Gives its verdict; without one it lets each request wait."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict
        self.requests: list[Request] = []
        self.waiters: list[Waiter] = []
        self.pushed: list[messages.Reply] = []
        self.events: list[object] = []

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        self.requests.append(request)
        self.waiters.append(waiter)
        return self.verdict or Ticket(len(self.waiters))

    def cancel(self, ticket: Ticket, now: float) -> None:
        self.events.append((ticket, now))

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        self.events.append((pick_id, outcome, now))

    def observe(self, feedback: Feedback, now: float) -> None:
        self.events.append(feedback)


def conversation(
    picker: Picker, mode: BodyMode = BodyMode.BUFFERED, response: BodyMode = BodyMode.NONE, *, logged: bool = False,
    streams: OpenStreams | None = None, longest_wait: int = 0,
):  # fmt: skip
    streams = streams or OpenStreams(picker, lambda: logged)
    route = Route(PoolId("default/a"), longest_wait=longest_wait)
    return PickConversation(route, picker, streams, picker.pushed.extend, Modes(mode, response))


def submitted(
    verdict: Verdict, *, headers: dict[str, str] = HEADERS, metadata: Metadata | None = None, body: bytes = b"{}"
):
    picker = Picker(verdict)
    talk = conversation(picker)
    talk.receive(HeadersReceived(REQUEST, headers, end_of_stream=False, metadata=metadata or {}), 1.0)
    return picker, talk, talk.receive(BodyReceived(REQUEST, body, end_of_stream=True), 2.0)


def respond(talk: PickConversation, *chunks: bytes) -> list[messages.Reply]:
    served = {"envoy.lb": {"x-gateway-destination-endpoint-served": "[::1]:81"}}
    replies = [*talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, False, served), 3.0)]
    for number, chunk in enumerate(chunks):
        replies += talk.receive(BodyReceived(RESPONSE, chunk, number == len(chunks) - 1), 4.0 + number)
    return replies


def waiting(**options: object) -> tuple[Picker, PickConversation, list[messages.Reply]]:
    picker = Picker(None)
    talk = conversation(picker, **options)  # type: ignore[arg-type]
    return picker, talk, [*talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)]
