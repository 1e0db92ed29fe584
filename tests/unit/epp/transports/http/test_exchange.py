"""One connection: order, limits, time."""

import gzip

import orjson
import pytest

from epp.domain import EndpointId, Pick, PickId, PoolId, Request
from epp.transports.http import exchange as exchange_module
from epp.transports.http.exchange import TRANSITIONS, BodyCheck, HealthCheck, HttpExchange, Input, State
from epp.transports.http.limits import Limits
from gateway.wire.errors import ErrorCode, Rejection
from tests import tables

LIMITS = Limits(head_bytes=512, body_bytes=1000, request_seconds=10.0, idle_seconds=100.0)
FULL = Rejection(429, ErrorCode.POOL_SATURATED, "full")


def exchange(now: float = 0.0) -> HttpExchange:
    return HttpExchange(LIMITS, lambda: {"adapter": "base"}, now)


def question(body: bytes = b"{}", *lines: str, path: str = "/v1/completions") -> bytes:
    head = (f"POST {path} HTTP/1.1", "host: epp", f"content-length: {len(body)}", *lines, "", "")
    return "\r\n".join(head).encode() + body


def pick(number: int = 1, **fields: object) -> Pick:
    id_ = PickId(f"epp-{number}")
    return Pick(id_, PoolId("default/qwen"), (EndpointId("10.0.0.1:8000"),), **fields)  # type: ignore[arg-type]


def next_request(machine: HttpExchange) -> Request:
    step = machine.advance()
    assert isinstance(step, Request)
    return step


def status(output: bytes) -> int:
    return int(output.split(b" ", 2)[1])


def test_a_question_is_asked_once_and_answered() -> None:
    machine = exchange()
    machine.receive(question(b'{"a":1}', "x-gateway-inference-pool: default/qwen"), 0.0)
    request = next_request(machine)
    assert (request.pool, request.method, request.path) == ("default/qwen", "POST", "/v1/completions")
    assert (request.body, request.subset) == (b'{"a":1}', None)
    assert machine.is_waiting
    assert machine.advance() is None
    assert machine.answer(pick())
    assert b"x-gateway-destination-endpoint: 10.0.0.1:8000\r\n" in machine.take_output()
    assert machine.take_output() == b""
    assert machine.is_idle
    assert not machine.is_finished


def test_a_request_that_a_lower_tier_can_serve_goes_on_without_a_pick() -> None:
    machine = exchange()
    machine.receive(question(b"{}", "x-gateway-lower-tiers: 1") + question(b"{}", "x-gateway-lower-tiers: 1"), 0.0)
    next_request(machine)
    assert machine.answer(Rejection(503, ErrorCode.NO_READY_ENDPOINT, "none"))
    assert machine.take_output() == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    next_request(machine)
    machine.answer(Rejection(400, ErrorCode.INVALID_REQUEST, "no"))
    assert status(machine.take_output()) == 400


def test_pipelined_questions_are_answered_in_their_order() -> None:
    machine = exchange()
    machine.receive(question(path="/1") + question(path="/2") + question(path="/3")[:20], 0.0)
    assert next_request(machine).path == "/1"
    machine.receive(question(path="/3")[20:], 0.0)
    assert machine.advance() is None, "one at a time"
    assert machine.answer(pick(1))
    assert next_request(machine).path == "/2"
    machine.answer(FULL)
    assert next_request(machine).path == "/3"
    machine.answer(pick(3))
    output = machine.take_output()
    assert output.index(b"epp-1") < output.index(b" 429 ") < output.index(b"epp-3")


def test_nothing_is_read_after_a_last_answer() -> None:
    machine = exchange()
    machine.receive(question(b"{}", "connection: close") + question(), 0.0)
    next_request(machine)
    machine.answer(pick())
    assert b"connection: close\r\n" in machine.take_output()
    machine.receive(question(), 0.0)
    assert machine.advance() is None
    assert machine.is_finished


def test_a_body_may_come_in_many_parts() -> None:
    machine = exchange()
    data = question(b"0123456789")
    for at in range(len(data) - 1):
        machine.receive(data[at : at + 1], 0.0)
        assert machine.advance() is None
    machine.receive(data[-1:] + question(b"next"), 0.0)
    assert next_request(machine).body == b"0123456789"
    machine.answer(pick())
    assert next_request(machine).body == b"next"


def test_what_is_expected_to_continue_does() -> None:
    machine = exchange()
    data = question(b"{}", "expect: 100-continue")
    machine.receive(data[:-2], 0.0)
    assert machine.advance() is None
    assert machine.take_output() == b"HTTP/1.1 100 Continue\r\n\r\n"
    machine.receive(data[-2:], 0.0)
    assert next_request(machine).body == b"{}"


def test_a_head_may_be_exactly_as_long_as_the_limit() -> None:
    bare = len(question(b"", "x-a: "))
    machine = exchange()
    machine.receive(question(b"", f"x-a: {'a' * (512 - bare)}"), 0.0)
    assert next_request(machine).headers["x-a"] == "a" * (512 - bare)
    machine = exchange()
    machine.receive(question(b"", f"x-a: {'a' * (513 - bare)}"), 0.0)
    assert machine.advance() is None
    assert status(machine.take_output()) == 431
    assert machine.is_finished


def test_a_head_without_end_is_cut_at_the_limit() -> None:
    machine = exchange()
    machine.receive(b"GET / HTTP/1.1\r\n" + b"x-a: a\r\n" * 62, 0.0)
    assert machine.advance() is None
    assert machine.is_finished
    assert status(machine.take_output()) == 431


def test_what_is_no_request_is_refused_and_ends_the_connection() -> None:
    machine = exchange()
    machine.receive(question() + b"\x16\x03\x01\r\n\r\n" + question(), 0.0)
    next_request(machine)
    machine.answer(pick())
    assert machine.advance() is None
    picked, _, refusal = machine.take_output().partition(b"\r\n\r\n")
    assert b"epp-1" in picked
    assert status(refusal) == 400
    assert b"connection: close" in refusal
    assert orjson.loads(refusal.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert machine.is_finished
    assert machine.broken_with is not None


def test_a_half_sent_request_is_refused_when_its_time_is_over() -> None:
    for data in (question()[:10], question()[:-1]):
        machine = exchange(0.0)
        machine.receive(data, 50.0)
        assert machine.advance() is None
        machine.expire(59.9)
        assert not machine.is_finished
        machine.expire(60.0)
        assert machine.is_finished
        assert status(machine.take_output()) == 408


def test_drops_do_not_buy_a_slow_request_more_time() -> None:
    machine = exchange()
    data = question()
    for second in range(10):
        machine.receive(data[second : second + 1], float(second))
        machine.advance()
    machine.expire(10.0)
    assert status(machine.take_output()) == 408


def test_the_time_of_a_pipelined_request_starts_when_it_comes() -> None:
    machine = exchange()
    machine.receive(question()[:-1], 0.0)
    machine.advance()
    machine.receive(question()[-1:] + question()[:-1], 9.0)
    next_request(machine)
    machine.answer(pick())
    assert machine.advance() is None
    machine.expire(18.9)
    assert not machine.is_finished
    machine.expire(19.0)
    assert machine.is_finished


def test_an_idle_connection_is_closed_without_a_word_after_a_long_time() -> None:
    machine = exchange(0.0)
    machine.receive(question(), 50.0)
    next_request(machine)
    machine.answer(pick())
    machine.take_output()
    machine.expire(149.9)
    assert not machine.is_finished
    machine.expire(150.0)
    assert machine.is_finished
    assert machine.take_output() == b""


def test_a_request_that_waits_for_its_answer_is_not_too_slow() -> None:
    machine = exchange()
    machine.receive(question(), 0.0)
    next_request(machine)
    machine.expire(1000.0)
    assert not machine.is_finished


def test_a_pick_that_cannot_be_said_is_refused_and_reported() -> None:
    machine = exchange()
    machine.receive(question(), 0.0)
    next_request(machine)
    assert not machine.answer(pick(body=b"{}", served_model="other"))
    output = machine.take_output()
    assert status(output) == 200
    assert b"x-gateway-picker-verdict: internal_error" in output
    assert b"x-gateway-destination-endpoint" not in output


def test_model_headers_are_set_when_the_route_asks_for_them() -> None:
    machine = exchange()
    machine.receive(question(b"{}", "x-gateway-model-headers: 1"), 0.0)
    next_request(machine)
    machine.answer(pick(model="adapter"))
    assert b"x-gateway-base-model-name: base\r\n" in machine.take_output()


@pytest.mark.parametrize(("is_ready", "expected"), [(True, 200), (False, 503)])
def test_a_health_check_asks_about_the_door(is_ready: bool, expected: int) -> None:
    machine = exchange()
    machine.receive(b"GET / HTTP/1.1\r\nhost: epp\r\nx-gateway-picker-health: 1\r\n\r\n", 0.0)
    assert machine.advance() is HealthCheck.READY
    machine.answer_health(is_ready=is_ready)
    assert status(machine.take_output()) == expected
    assert not machine.is_finished


def test_a_door_that_closes_answers_what_has_begun() -> None:
    machine = exchange()
    machine.receive(question()[:30], 0.0)
    machine.advance()
    machine.close_after_this()
    assert not machine.is_finished
    machine.receive(question()[30:], 0.0)
    next_request(machine)
    machine.answer(pick())
    assert b"connection: close\r\n" in machine.take_output()
    assert machine.is_finished
    idle = exchange()
    idle.close_after_this()
    assert idle.is_finished


def test_an_answer_without_a_question_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        exchange().answer(pick())


def test_a_body_is_checked_between_two_questions_without_a_pick() -> None:
    machine = exchange()
    check = question(b'{"model":5}', "content-type: application/json", "x-gateway-model-headers: check")
    machine.receive(check + check + question(path="/next"), 0.0)
    for answered, expected in ((None, 200), (Rejection(400, ErrorCode.INVALID_REQUEST, "no", "model"), 400)):
        assert machine.advance() == BodyCheck({"content-type": "application/json"}, b'{"model":5}')
        machine.answer_check(answered)
        assert status(machine.take_output()) == expected
    assert next_request(machine).path == "/next"


def test_the_docstring_shows_each_transition() -> None:
    assert tables.documented(exchange_module.__doc__) == {"connection": tables.named(TRANSITIONS)}  # type: ignore[arg-type]


def test_each_state_has_a_row() -> None:
    assert list(TRANSITIONS) == list(State)
    assert {given for row in TRANSITIONS.values() for given in row} == set(Input)


@pytest.mark.parametrize("given", Input)
def test_what_a_row_does_not_have_is_a_mistake(given: Input) -> None:
    machine = exchange()
    if given not in TRANSITIONS[State.HEAD]:
        with pytest.raises(RuntimeError, match=f"{given.name} cannot come in state HEAD"):
            machine._move(given)


def test_what_is_held_behind_a_request_that_waits_is_bounded() -> None:
    machine = HttpExchange(Limits(held_bytes=100), dict, 0.0)
    machine.receive(question() + b"x" * 100, 0.0)
    next_request(machine)
    assert not machine.is_overrun
    machine.receive(b"x", 0.0)
    assert machine.is_overrun


def test_a_compressed_body_is_read() -> None:
    machine = exchange()
    machine.receive(question(gzip.compress(b'{"a":1}'), "content-encoding: gzip"), 0.0)
    assert next_request(machine).body == b'{"a":1}'


def test_an_encoding_that_is_not_read_is_refused_and_the_next_question_asked() -> None:
    machine = exchange()
    machine.receive(question(b"\x1b", "content-encoding: br") + question(path="/2"), 0.0)
    assert next_request(machine).path == "/2"
    assert status(machine.take_output()) == 415


def test_errors_of_the_messages_api_have_anthropics_shape() -> None:
    machine = exchange()
    machine.receive(question(b"{}", "x-request-id: req-7", path="/v1/messages"), 0.0)
    next_request(machine)
    machine.answer(FULL)
    head, _, body = machine.take_output().partition(b"\r\n\r\n")
    assert b"\r\nrequest-id: req-7\r\n" in head
    expected = {"type": "error", "error": {"type": "rate_limit_error", "message": "full"}, "request_id": "req-7"}
    assert orjson.loads(body) == expected
