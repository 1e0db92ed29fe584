"""The same bad request gets the same answer from the body-based router and from both transports, to the byte."""

from collections.abc import Mapping

import pytest

from epp.domain import Outcome, PickId, Request, Ticket, Verdict, Waiter
from epp.prompts import parsing as prompt
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.http import answers as http_answers
from epp.transports.http import body as http_body
from epp.transports.http.exchange import HttpExchange
from epp.transports.http.limits import Limits
from epp.transports.route import Route
from gateway.extproc.conversation import Conversation
from gateway.extproc.protocol.exchange import PROTOCOL_MODES
from gateway.extproc.protocol.messages import BodyReceived, Direction, HeadersReceived, ImmediateReply
from gateway.router.conversation import RouterConversation, Routing
from gateway.router.metrics import Metrics
from gateway.routing.catalogue import default_plugins
from gateway.routing.chain import Chain
from gateway.wire import refusals
from gateway.wire.bodies import STRUCTURE_LIMIT
from gateway.wire.errors import Rejection
from gateway.wire.models import MODEL_LIMIT
from gateway.wire.protocol import BODY_LIMIT_BYTES

PATH = "/v1/chat/completions"
HEADERS = {":method": "POST", ":path": PATH, "content-type": "application/json"}
Answer = tuple[int, bytes, Mapping[str, str]]

BODIES = {
    b"{": 400,
    b"\xff": 400,
    b"[1]": 400,
    b"null": 400,
    b"17": 400,
    b'{"model": 5, "messages": [{}]}': 400,
    b'{"model": ["a"], "messages": [{}]}': 400,
    b'{"model": "a\\nb", "messages": [{}]}': 400,
    b'{"model": "%b", "messages": [{}]}' % (b"m" * (MODEL_LIMIT + 1)): 400,
    b'{"model": "m", "messages": [{}], "tools": [%b0]}' % (b"[]," * STRUCTURE_LIMIT): 413,
}


class ParsingPicker:
    """Refuses what the prompt parser refuses."""

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        parsed = prompt.parse(request)
        assert isinstance(parsed, Rejection)
        return parsed

    def cancel(self, ticket: Ticket, now: float) -> None: ...

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None: ...

    def observe(self, feedback: object, now: float) -> None: ...


def by_ext_proc(conversation: Conversation, *chunks: bytes) -> Answer:
    replies = [*conversation.receive(HeadersReceived(Direction.REQUEST, HEADERS, end_of_stream=False), 0.0)]
    for number, chunk in enumerate(chunks):
        event = BodyReceived(Direction.REQUEST, chunk, number == len(chunks) - 1)
        replies += conversation.receive(event, 0.0)
    (reply,) = (reply for reply in replies if isinstance(reply, ImmediateReply))
    return reply.status, reply.body, dict(reply.headers)


def router() -> Conversation:
    return RouterConversation(Routing(Chain(default_plugins(), Metrics("test"))), lambda _reading: None, PROTOCOL_MODES)


def picker() -> Conversation:
    made = ParsingPicker()
    return PickConversation(Route(), made, OpenStreams(made, lambda: True), lambda _replies: None)


def parsed(answer: bytes) -> Answer:
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    del headers["content-length"]
    headers.pop("connection", None)
    return int(start.split()[1]), body, headers


def by_http(body: bytes, *, length: int | None = None) -> Answer:
    machine = HttpExchange(Limits(), dict, 0.0)
    lines = (f"POST {PATH} HTTP/1.1", "host: epp", "content-type: application/json", f"content-length: {length}")
    machine.receive("\r\n".join((*lines, "", "")).encode() + body, 0.0)
    request = machine.advance()
    if isinstance(request, Request):
        verdict = prompt.parse(request)
        assert isinstance(verdict, Rejection)
        machine.answer(verdict)
    return parsed(machine.take_output())


def by_body_check(body: bytes) -> Answer:
    objection = http_body.objection(HEADERS, body)
    assert objection is not None
    return parsed(http_answers.refused(objection, is_last=False, is_head=False))


@pytest.mark.parametrize(("body", "status"), BODIES.items())
def test_a_bad_body(body: bytes, status: int) -> None:
    answer = by_ext_proc(router(), body)
    assert answer[0] == status
    assert answer[2] == {"content-type": "application/json"}
    assert by_ext_proc(picker(), body) == answer
    assert by_http(body, length=len(body)) == answer
    assert by_body_check(body) == answer


def test_a_body_that_is_too_large() -> None:
    megabyte = bytes(1024 * 1024)
    chunks = [megabyte] * (BODY_LIMIT_BYTES // len(megabyte)) + [b"x"]
    answer = by_ext_proc(router(), *chunks)
    assert answer[0] == 413
    assert by_ext_proc(picker(), *chunks) == answer
    assert by_http(b"", length=BODY_LIMIT_BYTES + 1) == answer


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.2, "2"), (30.0, "30")])
def test_when_to_come_back(seconds: float, header: str) -> None:
    rejection = refusals.saturated("busy", seconds)
    answer = parsed(http_answers.refused(rejection, is_last=False, is_head=False))
    headers = {"content-type": "application/json", "retry-after": header}
    assert answer == (429, rejection.body(), headers | {"x-llm-d-request-dropped-reason": "rejected-saturated"})
    assert dict(rejection.headers()) == answer[2]
