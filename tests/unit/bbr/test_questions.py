"""A request whose plugin asks for an embedding waits for it, and for nothing longer."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    Direction,
    HeadersReceived,
    ImmediateReply,
    Modes,
    Reply,
)
from gateway.router.conversation import RouterConversation, Routing
from gateway.router.metrics import Metrics
from gateway.routing.catalogue import Reader
from gateway.routing.chain import Chain

NEAREST = """class:kind:{"headerName": "x-class", "default": "general", "examples": {"classes": [
 {"class": "law", "texts": ["my landlord"]}]}}"""
JSON = {"content-type": "application/json", "x-class": "forged"}


class Asked:
    def __init__(self, *plugins: str, at_once: bool = False) -> None:
        self.questions: list[tuple[str, Callable[[Any], None]]] = []
        self.pushed: list[Reply] = []
        self._at_once = at_once
        routing = Routing(Chain(Reader().read(plugins), Metrics("test")), {}, {"my landlord": (1.0, 0.0)}, self._ask)
        self.talk = RouterConversation(
            routing, lambda _reading: None, Modes(BodyMode.BUFFERED, BodyMode.NONE), self.pushed.extend
        )

    def _ask(self, text: str, answer: Callable[[Any], None]) -> None:
        if self._at_once:
            answer((1.0, 0.0))
        else:
            self.questions.append((text, answer))

    def send(self, body: bytes) -> Sequence[Reply]:
        self.talk.receive(HeadersReceived(Direction.REQUEST, JSON, end_of_stream=False), 0.0)
        return self.talk.receive(BodyReceived(Direction.REQUEST, body, end_of_stream=True), 0.0)


def headers(reply: Reply) -> dict[str, str]:
    assert isinstance(reply, BodyReply)
    return dict(reply.mutation.set_headers)


def test_the_answer_goes_out_when_the_embedding_comes() -> None:
    asked = Asked(NEAREST)
    assert asked.send(b'{"prompt": "about my flat"}') == []
    ((text, answer),) = asked.questions
    assert (text, asked.pushed) == ("about my flat", [])
    assert not asked.talk.is_finished
    answer((1.0, 0.1))
    (reply,) = asked.pushed
    assert headers(reply) == {"x-class": "law"}
    assert asked.talk.is_finished


def test_without_an_embedding_the_class_is_the_default_one() -> None:
    asked = Asked(NEAREST)
    asked.send(b'{"prompt": "about my flat"}')
    asked.questions[0][1](None)
    assert headers(asked.pushed[0]) == {"x-class": "general"}


def test_an_embedding_that_is_known_costs_no_wait() -> None:
    asked = Asked(NEAREST, at_once=True)
    (reply,) = asked.send(b'{"prompt": "about my flat"}')
    assert headers(reply) == {"x-class": "law"}


def test_several_questions_are_asked_one_after_the_other() -> None:
    asked = Asked(NEAREST, NEAREST.replace("kind", "other").replace("x-class", "x-other"))
    asked.send(b'{"prompt": "about my flat"}')
    asked.questions[0][1]((1.0, 0.0))
    assert asked.pushed == []
    asked.questions[1][1](None)
    assert headers(asked.pushed[0]) == {"x-class": "law", "x-other": "general"}


def test_a_refusal_may_come_late() -> None:
    asked = Asked(NEAREST, 'guard:g:{"maxBodyBytes": 5}')
    asked.send(b'{"prompt": "about my flat"}')
    asked.questions[0][1](None)
    (reply,) = asked.pushed
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 400


def test_an_answer_for_a_request_that_is_gone_is_for_nobody() -> None:
    asked = Asked(NEAREST)
    asked.send(b'{"prompt": "about my flat"}')
    asked.talk.close(0.0)
    asked.questions[0][1]((1.0, 0.0))
    assert asked.pushed == []


def test_a_clients_own_class_never_passes() -> None:
    asked = Asked('class:kind:{"headerName": "x-class", "default": "general"}')
    (reply,) = asked.send(b"no json")
    assert isinstance(reply, ImmediateReply)
    talk = Asked('class:kind:{"headerName": "x-class", "default": "general"}').talk
    (reply,) = talk.receive(HeadersReceived(Direction.REQUEST, JSON, end_of_stream=True), 0.0)
    assert reply.mutation.remove_headers == ("x-class",)  # type: ignore[union-attr]


@pytest.mark.parametrize(("shadow", "passes"), [("false", False), ("true", True)])
def test_a_body_of_which_only_the_start_is_known_does_not_pass_the_guard(shadow: str, passes: bool) -> None:
    guard = f'guard:g:{{"shadow": {shadow}, "deny": [{{"name": "a", "pattern": "secret"}}]}}'
    routing = Routing(Chain(Reader().read([guard]), Metrics("test")))
    talk = RouterConversation(routing, lambda _reading: None, Modes(BodyMode.BUFFERED_PARTIAL, BodyMode.NONE))
    talk.receive(HeadersReceived(Direction.REQUEST, JSON, end_of_stream=False), 0.0)
    (reply,) = talk.receive(BodyReceived(Direction.REQUEST, b'{"prompt": "begins', end_of_stream=False), 0.0)
    assert isinstance(reply, BodyReply if passes else ImmediateReply)
    assert passes or reply.status == 413  # type: ignore[union-attr]
