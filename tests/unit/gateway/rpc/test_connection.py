"""gRPC over HTTP/2 without a socket: calls, refusals, and how they end."""

import gc

import ngh2
import pytest

from gateway.rpc import limits
from gateway.rpc.calls import Status
from gateway.rpc.connection import Connection
from gateway.rpc.limits import Settings
from tests.unit.gateway.rpc.peer import ECHO, FAIL, HEAD, Answer, Pair, Tests, statuses


@pytest.fixture
def tests() -> Tests:
    return Tests()


@pytest.fixture
def pair(tests: Tests) -> Pair:
    return Pair(tests)


def test_messages_are_answered_in_order_and_the_call_ends_with_ok(pair: Pair, tests: Tests) -> None:
    answer = pair.call(b"one", b"", b"three")
    assert (answer.messages, answer.status, answer.is_closed) == ([b"one", b"", b"three"], Status.OK, True)
    assert answer.head[b"content-type"] == b"application/grpc"
    assert tests.handlers[0].closes == [False]


@pytest.mark.parametrize("size", [1, 3, 9, 100])
def test_bytes_may_come_in_any_pieces(pair: Pair, size: int) -> None:
    stream = pair.open()
    pair.send(stream, b"a" * 50, b"b", end=True)
    pair.exchange(size=size)
    assert pair.answers[stream].messages == [b"a" * 50, b"b"]


def test_answers_to_what_was_read_at_once_leave_at_once(pair: Pair) -> None:
    streams = [pair.open() for _ in range(8)]
    for stream in streams:
        pair.send(stream, b"question")
    pair.receive(pair.client.data_to_send())
    pair.answer()
    assert [pair.answers[stream].messages for stream in streams] == [[b"question"]] * 8
    assert pair.wakes == 0


def test_no_round_handles_more_than_its_share(pair: Pair, tests: Tests) -> None:
    for _ in range(40):
        pair.send(pair.open(), b"question")
    pair.connection.receive(pair.client.data_to_send(), 0.0)
    handled = []
    while pair.connection.has_more:
        pair.connection.advance(0.0)
        handled.append(sum(len(handler.received) for handler in tests.handlers))
    assert handled == [16, 32, 40]


def test_metadata_are_read_by_name_and_repeated_ones_are_joined(pair: Pair, tests: Tests) -> None:
    pair.open(ECHO, (b"x-pool", b"a"), (b"x-pool", b"b"))
    pair.exchange()
    metadata = tests.handlers[0].metadata
    assert (metadata["x-pool"], metadata.get("x-none", "-")) == ("a,b", "-")
    assert {"x-pool", ":path"} <= set(metadata)
    assert len(metadata) == len(HEAD) + 1


def test_an_answer_that_no_message_asked_for_wakes_the_owner(pair: Pair, tests: Tests) -> None:
    stream = pair.open()
    pair.send(stream, b"question")
    pair.exchange()
    assert pair.wakes == 0
    tests.handlers[0].call.send((b"late",))
    assert pair.wakes == 1
    pair.exchange()
    assert pair.answers[stream].messages == [b"question", b"late"]


def test_an_unknown_method_is_unimplemented(pair: Pair) -> None:
    answer = pair.call(b"x", path="/t.Test/None")
    assert (answer.status, answer.text) == (Status.UNIMPLEMENTED, b"no method /t.Test/None")


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [
        (b"GET", b"application/grpc", b"405"),
        (b"POST", b"application/json", b"415"),
        (b"POST", b"application/grpcx", b"415"),
    ],
)
def test_what_is_no_grpc_is_refused_by_http(pair: Pair, method: bytes, content_type: bytes, status: bytes) -> None:
    changed = {b":method": method, b"content-type": content_type}
    stream = pair.client.send_request([(name, changed.get(name, value)) for name, value in HEAD], end_stream=True)
    pair.answers[stream] = answer = Answer()
    pair.exchange()
    assert answer.head[b":status"] == status


def test_a_compressed_message_is_refused_with_what_is_accepted(pair: Pair) -> None:
    for encoding, status in ((b"gzip", Status.UNIMPLEMENTED), (b"identity", Status.INTERNAL)):
        stream = pair.open(ECHO, (b"grpc-encoding", encoding))
        pair.client.send_data(stream, b"\x01\x00\x00\x00\x01x")
        pair.exchange()
        answer = pair.answers[stream]
        assert (answer.status, answer.head[b"grpc-accept-encoding"]) == (status, b"identity")


def test_a_message_over_the_limit_is_refused_by_its_prefix_alone(tests: Tests) -> None:
    pair = Pair(tests, tests.shared(Settings(receive_limit=100)))
    assert pair.call(bytes(100)).status is Status.OK
    stream = pair.open()
    pair.client.send_data(stream, b"\x00\x00\x00\x00\x65")
    pair.exchange()
    answer = pair.answers[stream]
    assert (answer.status, answer.text) == (Status.RESOURCE_EXHAUSTED, b"a message has 101 bytes, the limit is 100")


def test_an_answer_over_the_limit_is_not_sent(tests: Tests) -> None:
    pair = Pair(tests, tests.shared(Settings(send_limit=10)))
    assert pair.call(bytes(11)).status is Status.RESOURCE_EXHAUSTED


def test_a_stream_that_ends_within_a_message_is_an_error(pair: Pair) -> None:
    stream = pair.open()
    pair.client.send_data(stream, b"\x00\x00\x00\x00\x05abc", end_stream=True)
    pair.exchange()
    assert pair.answers[stream].status is Status.INTERNAL


def test_a_call_whose_time_is_over_ends_and_others_go_on(pair: Pair, tests: Tests) -> None:
    short, long = pair.open(ECHO, (b"grpc-timeout", b"250m")), pair.open()
    pair.exchange()
    assert pair.connection.due_at == 0.25
    pair.expire(0.25)
    assert statuses([pair.answers[short], pair.answers[long]]) == [Status.DEADLINE_EXCEEDED, None]
    assert [handler.closes for handler in tests.handlers] == [[False], []]
    broken = pair.open(ECHO, (b"grpc-timeout", b"soon"))
    pair.exchange()
    assert pair.answers[broken].status is Status.INTERNAL


def test_a_handler_that_fails_costs_its_own_call_alone(pair: Pair, tests: Tests) -> None:
    broken, fine = pair.open(FAIL), pair.open()
    pair.send(broken, b"x")
    pair.send(fine, b"y")
    pair.exchange()
    assert pair.answers[broken].status is Status.INTERNAL
    assert pair.answers[fine].messages == [b"y"]
    assert [str(error) for error in tests.failures] == ["a mistake of the service"]
    assert tests.handlers[0].closes == [False]


@pytest.mark.parametrize("where", ["half_closed", "closed"])
def test_a_handler_that_fails_at_the_end_costs_nobody_else_anything(pair: Pair, tests: Tests, where: str) -> None:
    broken, fine = pair.open(), pair.open()
    pair.exchange()

    def fail(**_: object) -> None:
        raise ValueError("a mistake of the service")

    setattr(tests.handlers[0], where, fail)
    pair.send(broken, b"x", end=True)
    pair.send(fine, b"y", end=True)
    pair.exchange()
    assert pair.answers[broken].status is (Status.INTERNAL if where == "half_closed" else Status.OK)
    assert pair.answers[fine].status is Status.OK
    assert len(tests.failures) == 1


def test_words_of_a_status_are_percent_encoded(pair: Pair, tests: Tests) -> None:
    stream = pair.open()
    pair.exchange()
    tests.handlers[0].call.end(Status.INVALID_ARGUMENT, "100 % ä\n")
    pair.exchange()
    assert pair.answers[stream].text == b"100 %25 %C3%A4%0A"


# How streams end.


def test_a_reset_closes_its_handler_once(pair: Pair, tests: Tests) -> None:
    stream = pair.open()
    pair.send(stream, b"x")
    pair.exchange()
    pair.client.reset_stream(stream)
    pair.exchange()
    tests.handlers[0].call.send((b"after",))
    tests.handlers[0].call.end()
    pair.exchange()
    assert tests.handlers[0].closes == [False]


def test_a_stream_that_was_reset_in_the_same_read_opens_no_handler(pair: Pair, tests: Tests) -> None:
    lost, kept = pair.open(), pair.open()
    pair.send(lost, b"x")
    sent = pair.client.data_to_send()
    pair.client.reset_stream(lost)
    pair.send(kept, b"y")
    pair.receive(sent + pair.client.data_to_send())
    pair.exchange()
    assert [handler.received for handler in tests.handlers] == [[b"y"]]
    assert pair.answers[kept].messages == [b"y"]


def test_an_answer_to_a_stream_that_was_reset_meanwhile_is_known_to_be_lost(pair: Pair, tests: Tests) -> None:
    stream = pair.open()
    pair.exchange()
    pair.send(stream, b"x")
    sent = pair.client.data_to_send()
    pair.client.reset_stream(stream)
    pair.receive(sent + pair.client.data_to_send())
    pair.exchange()
    assert tests.handlers[0].closes == [True]


def test_an_answer_that_the_peers_window_holds_back_is_known_to_be_lost(tests: Tests) -> None:
    pair = Pair(tests)
    pair.client.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 10})
    pair.exchange()
    for is_read in (True, False):
        stream = pair.open()
        pair.send(stream, b"x" if is_read else b"x" * 100)
        pair.receive(pair.client.data_to_send())
        pair.connection.take_output()
        pair.connection._take_frame(ngh2.StreamClosed(stream, 8, None), 0.0)
    assert [handler.closes for handler in tests.handlers] == [[False], [True]]


def test_a_lost_socket_closes_every_handler_and_frees_the_connection_without_the_collector(tests: Tests) -> None:
    def connections() -> int:
        return sum(type(each) is Connection for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = connections()
        pair = Pair(tests)
        pair.send(pair.open(), b"x")
        pair.exchange()
        assert connections() == before + 1
        pair.connection.lost()
        assert tests.handlers[0].closes == [False]
        tests.handlers.clear()
        del pair.connection
        assert connections() == before
    finally:
        gc.enable()


# Keepalive and the end of the connection.


def test_a_peer_learns_how_many_streams_and_bytes_it_may_send(pair: Pair) -> None:
    settings = pair.client.remote_settings
    assert settings[ngh2.Setting.MAX_CONCURRENT_STREAMS] == limits.CONCURRENT_STREAMS
    assert settings[ngh2.Setting.INITIAL_WINDOW_SIZE] == limits.STREAM_WINDOW_BYTES


def test_a_ping_is_answered_at_once(pair: Pair) -> None:
    pair.client.ping(b"12345678")
    pair.receive(pair.client.data_to_send())
    assert b"12345678" in pair.connection.take_output()


def test_a_silent_peer_is_pinged_and_given_up_when_it_stays_silent(tests: Tests) -> None:
    pair = Pair(tests)
    pair.send(pair.open(), b"x")
    pair.exchange()
    pair.expire(limits.KEEPALIVE_SECONDS)
    assert not pair.connection.is_finished
    pair.expire(2 * limits.KEEPALIVE_SECONDS)
    ended = 0.0
    while not pair.connection.is_finished:  # from now on nobody answers
        ended = pair.connection.due_at
        pair.connection.expire(ended)
    assert ended == 2 * limits.KEEPALIVE_SECONDS + limits.KEEPALIVE_SECONDS + limits.KEEPALIVE_TIMEOUT_SECONDS


def test_after_goaway_what_was_on_its_way_is_served_and_what_owes_something_ends_as_unavailable(tests: Tests) -> None:
    pair = Pair(tests)
    resting, owing = pair.open(), pair.open()
    pair.exchange()
    tests.handlers[1].is_at_rest = False
    late = pair.open()
    pair.send(late, b"late")
    on_its_way = pair.client.data_to_send()
    pair.connection.announce_end()
    pair.answer()
    pair.receive(on_its_way)
    pair.exchange()
    assert pair.answers[late].messages == [b"late"]
    assert not pair.client.can_send_request
    assert not pair.connection.is_at_rest
    pair.connection.end()
    pair.exchange()
    assert statuses([pair.answers[stream] for stream in (resting, owing, late)]) == [
        Status.OK,
        Status.UNAVAILABLE,
        Status.OK,
    ]
