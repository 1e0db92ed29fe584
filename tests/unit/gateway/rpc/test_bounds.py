"""What a peer can make a connection keep: windows, turns of large messages, unread answers, frames without work."""

import struct

import ngh2
import pytest

from gateway.rpc import limits
from gateway.rpc.budget import Budget
from gateway.rpc.calls import Status
from gateway.rpc.frames import framed
from gateway.rpc.limits import Allowance, Settings
from tests.unit.gateway.rpc.peer import COLLECT, Pair, Tests

MIB = limits.MIB
FRAME = 60_000
DATA = 0  # the kind of a frame
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture
def tests() -> Tests:
    return Tests()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def run_deferred(pair: Pair) -> None:
    """The loop has time for large messages."""
    while pair.tests.deferred:
        pair.tests.deferred.pop(0)()
        pair.exchange()


def received(tests: Tests) -> list[int]:
    return [len(message) for handler in tests.handlers for message in handler.received]


def test_a_message_that_every_stream_may_keep_needs_no_turn_whatever_came_before(tests: Tests) -> None:
    budget = Budget(turns=0)
    pair = Pair(tests, tests.shared(budget=budget))
    stream = pair.open()
    sizes = [limits.RETURN_BYTES - 6, limits.FREE_BYTES - 5, 7, limits.FREE_BYTES - 5, limits.FREE_BYTES - 5]
    for size in sizes:
        pair.send(stream, bytes(size))
        pair.exchange()
    assert received(tests) == sizes
    assert [len(message) for message in pair.answers[stream].messages] == sizes
    assert budget.is_free


def test_a_call_that_ends_in_the_middle_of_a_frame_costs_nothing_of_the_connections_window(tests: Tests) -> None:
    """The rest of the frame comes to a stream that is over; all calls together send more than the window holds."""
    pair = Pair(tests, tests.shared(Settings(connection_window=10 * FRAME)))
    for _ in range(30):
        stream = pair.open()
        pair.exchange()
        data = frame(DATA, 0, stream, b"\0" + (2 * MIB).to_bytes(4, "big") + bytes(FRAME - 5))
        pair.receive(data[: FRAME // 2])
        pair.connection._streams[stream].end(Status.UNAVAILABLE)
        pair.answer()
        pair.receive(data[FRAME // 2 :])
        pair.client.reset_stream(stream)
        pair.exchange()
        assert pair.answers[stream].status is Status.UNAVAILABLE
    assert pair.call(b"x" * 5 * FRAME).messages == [b"x" * 5 * FRAME]


def test_of_many_large_messages_a_few_at_a_time_are_let_in(tests: Tests) -> None:
    budget = Budget()
    pair = Pair(tests, tests.shared(budget=budget))
    size = 16 * MIB
    streams = [pair.open() for _ in range(8)]
    for stream in streams:
        pair.send(stream, bytes(size), end=True)
    pair.exchange()
    kept = sum(stream._kept for stream in pair.connection._streams.values())
    assert kept <= limits.LARGE_STREAMS * size + 8 * limits.STREAM_WINDOW_BYTES + 8 * 16
    assert len(tests.deferred) == limits.LARGE_STREAMS
    run_deferred(pair)
    assert received(tests) == [size] * 8
    assert [len(pair.answers[stream].messages[0]) for stream in streams] == [size] * 8
    assert budget.is_free


def test_a_body_in_many_messages_that_is_kept_by_its_handler_counts_as_one(tests: Tests) -> None:
    budget = Budget()
    pair = Pair(tests, tests.shared(budget=budget))
    streams = [pair.open(COLLECT) for _ in range(5)]
    for stream in streams:
        for _ in range(40):
            pair.send(stream, bytes(60_000))
    pair.exchange()
    whole = [len(handler.received) == 40 for handler in tests.handlers]
    assert whole.count(True) == limits.LARGE_STREAMS
    for stream in streams:
        pair.client.end_stream(stream)
    pair.exchange()
    assert [pair.answers[stream].messages for stream in streams] == [[b"2400000"]] * 5
    assert budget.is_free


def test_a_large_message_waits_and_what_follows_it_on_its_stream_too(tests: Tests) -> None:
    pair = Pair(tests)
    busy, other = pair.open(), pair.open()
    pair.send(busy, bytes(2 * MIB), b"behind", end=True)
    pair.exchange()
    pair.send(other, b"other")
    pair.exchange()
    assert received(tests) == [5]
    run_deferred(pair)
    assert received(tests) == [2 * MIB, 6, 5]
    assert pair.answers[busy].status is Status.OK


def test_a_stream_that_ends_gives_its_turn_to_the_next(tests: Tests) -> None:
    budget = Budget(turns=1)
    pair = Pair(tests, tests.shared(budget=budget))
    first, second, third = (pair.open() for _ in range(3))
    for stream in (first, second, third):
        pair.client.send_data(stream, framed([bytes(MIB)])[: MIB - 1])
        pair.exchange()
    pair.client.reset_stream(second)  # while it waits
    pair.client.reset_stream(first)
    pair.exchange()
    pair.client.send_data(third, bytes(6))
    pair.exchange()
    run_deferred(pair)
    assert received(tests) == [MIB]
    assert budget.is_free


def test_a_large_message_that_waits_for_the_peer_to_take_its_answers_is_not_given_up(tests: Tests) -> None:
    budget = Budget(turns=1)
    small = ngh2.Configuration(auto_window_update=False)  # what it is answered stays here
    pair = Pair(tests, tests.shared(budget=budget), small)
    slow, other = pair.open(), pair.open()
    pair.send(slow, bytes(600_000))
    pair.exchange()
    pair.send(slow, bytes(600_000))
    pair.exchange()
    pair.client.send_data(slow, framed([bytes(2 * MIB)])[:MIB])
    pair.exchange()
    for now in (20.0, 40.0):
        pair.expire(now)
    pair.send(other, bytes(MIB), end=True)
    pair.exchange()
    run_deferred(pair)

    assert received(tests)[-1] == MIB
    pair.client.set_local_window_size(2**30, stream_id=slow)
    pair.exchange()
    pair.client.send_data(slow, bytes(MIB + 5), end_stream=True)
    pair.exchange()
    run_deferred(pair)
    assert [len(message) for message in pair.answers[slow].messages] == [600_000, 600_000, 2 * MIB]


def test_a_large_message_that_stops_in_its_middle_is_given_up(tests: Tests) -> None:
    budget = Budget(turns=1)
    pair = Pair(tests, tests.shared(budget=budget))
    stuck, waits = pair.open(), pair.open()
    pair.client.send_data(stuck, framed([bytes(4 * MIB)])[: 3 * MIB])
    pair.exchange()
    pair.send(waits, bytes(MIB))
    pair.exchange()
    for _ in range(2):
        pair.expire(pair.connection.due_at)
    assert pair.answers[stuck].status is Status.RESOURCE_EXHAUSTED
    run_deferred(pair)
    assert received(tests) == [MIB]


def test_unfinished_messages_of_all_streams_have_a_limit(tests: Tests) -> None:
    budget = Budget(limit=80_000)
    pair = Pair(tests, tests.shared(budget=budget))
    streams = [pair.open() for _ in range(5)]
    for stream in streams:
        pair.client.send_data(stream, framed([bytes(30_000)])[:24_000])
    pair.exchange()
    refused = [stream for stream in streams if pair.answers[stream].status is Status.RESOURCE_EXHAUSTED]
    assert len(refused) == 2
    for stream in set(streams) - set(refused):
        pair.client.send_data(stream, bytes(6_005))
    pair.exchange()
    assert received(tests) == [30_000] * 3
    assert budget.is_free


def test_a_peer_that_takes_no_answers_may_send_no_more(tests: Tests) -> None:
    pair = Pair(tests)
    pair.client.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 0})
    pair.exchange()
    stream = pair.open()
    for _ in range(200):
        pair.send(stream, bytes(60_000))
    pair.exchange()
    sent = sum(received(tests))
    assert limits.STREAM_OUTPUT_BYTES <= sent <= limits.STREAM_OUTPUT_BYTES + limits.STREAM_WINDOW_BYTES + 60_000
    pair.client.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 2**20})
    pair.exchange()
    assert len(pair.answers[stream].messages) == 200


def test_a_connection_that_keeps_too_many_answers_is_ended(tests: Tests) -> None:
    pair = Pair(tests)
    pair.client.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 0})
    pair.exchange()
    while not pair.connection.is_finished:
        pair.send(pair.open(), bytes(limits.FREE_BYTES), bytes(limits.FREE_BYTES))
        pair.exchange()
        assert len(tests.handlers) * MIB < 2 * limits.CONNECTION_OUTPUT_LIMIT_BYTES
    assert tests.abuses == 1
    assert pair.connection.is_finished


# Floods. The peer here is bytes: a library would not send this.


def flooded(tests: Tests, frames: bytes) -> Pair:
    pair = Pair(tests)
    for at in range(0, len(frames), 65_536):
        if not pair.connection.is_finished:
            pair.receive(frames[at : at + 65_536])
            pair.connection.take_output()
    return pair


@pytest.mark.parametrize(
    "one",
    [frame(6, 0, 0, bytes(8)), frame(4, 0, 0), frame(3, 0, 1, bytes(4))],
    ids=["PING", "SETTINGS", "RST_STREAM"],
)
def test_a_flood_of_frames_without_work_ends_the_connection(tests: Tests, one: bytes) -> None:
    pair = Pair(tests)
    pair.client.reset_stream(pair.open())
    pair.exchange()
    assert not pair.connection.is_finished
    for _ in range(100):
        if not pair.connection.is_finished:
            pair.receive(one * 100)
            pair.connection.take_output()
    assert pair.connection.is_finished
    assert pair.connection.take_output() == b""


def test_streams_that_are_reset_before_their_first_message_are_a_flood(tests: Tests) -> None:
    pair = Pair(tests)
    for _ in range(int(limits.IDLE_FRAMES_BURST)):
        stream = pair.open()
        sent = pair.client.data_to_send()
        pair.client.reset_stream(stream)
        pair.receive(sent + pair.client.data_to_send())
        if pair.connection.is_finished:
            break
    pair.exchange()
    assert tests.abuses == 1
    assert tests.handlers == []


def test_a_proxy_resets_as_many_streams_as_it_likes_when_they_are_done(tests: Tests) -> None:
    pair = Pair(tests)
    for _ in range(int(limits.IDLE_FRAMES_BURST) + 1000):
        stream = pair.open()
        pair.send(stream, b"x")
        pair.exchange()
        pair.client.reset_stream(stream)
    pair.exchange()
    assert not pair.connection.is_finished
    assert tests.abuses == 0


def test_a_flood_of_continuations_ends_the_connection(tests: Tests) -> None:
    pair = flooded(tests, frame(1, 0, 1, b"\x83") + frame(9, 0, 1, b"\x86") * 1000)
    assert pair.connection.is_finished


def test_a_head_that_is_too_long_ends_the_connection(tests: Tests) -> None:
    pair = Pair(tests, configuration=ngh2.Configuration(max_send_header_block_length=2**20))
    pair.open("/t.Test/Echo", *((b"x-%d" % number, b"y" * 1000) for number in range(100)))
    pair.exchange()
    assert pair.connection.is_finished


def test_an_allowance_fills_up_again_with_time() -> None:
    allowance = Allowance(2, 1.0, 0.0)
    assert [allowance.take(0.0) for _ in range(3)] == [True, True, False]
    assert [allowance.take(2.5) for _ in range(3)] == [True, False, False]


def test_settings_may_be_chosen_and_defaults_hold_a_whole_body() -> None:
    assert Settings().receive_limit == 65 * MIB
    assert limits.FREE_BYTES <= limits.STREAM_WINDOW_BYTES / 2 - limits.RETURN_BYTES
