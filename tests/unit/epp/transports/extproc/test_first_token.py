"""The head of an answer is held back until its first bytes came."""

from epp.transports.extproc.first_token import FirstToken
from gateway.extproc.protocol.messages import (
    BodyReceived,
    BodyReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    MoreTime,
)

RESPONSE = Direction.RESPONSE
HEAD = HeadersReply(RESPONSE)


def test_the_head_and_the_first_bytes_go_on_together_and_nothing_else_is_looked_at() -> None:
    answer = FirstToken(60)

    assert list(answer.receive(HeadersReceived(RESPONSE, {}, end_of_stream=False), 0.0)) == [MoreTime(60.0)]
    assert not answer.is_finished
    assert list(answer.receive(BodyReceived(RESPONSE, b"data: 1", end_of_stream=False), 5.0)) == [
        HEAD,
        BodyReply(RESPONSE),
    ]
    assert answer.is_finished


def test_an_answer_without_a_body_is_not_held() -> None:
    answer = FirstToken(60)

    assert list(answer.receive(HeadersReceived(RESPONSE, {}, end_of_stream=True), 0.0)) == [HEAD]
    assert answer.is_finished


def test_a_drain_lets_the_head_go_on() -> None:
    assert FirstToken(60).is_at_rest
