"""Whatever a peer sends, nothing is raised, every handler is closed exactly once, and nothing stays counted."""

import random

import ngh2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rpc.budget import Budget
from gateway.rpc.frames import Assembler, framed
from tests.unit.gateway.rpc.peer import COLLECT, ECHO, FAIL, HEAD, Pair, Tests

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@given(st.lists(st.binary(max_size=300), max_size=10), st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_messages_come_out_as_they_went_in_whatever_the_pieces(messages: list[bytes], sizes: list[int]) -> None:
    sent, assembler = b"".join(framed([each]) for each in messages), Assembler(300)
    assert sent == framed(messages)
    taken = []
    at = step = 0
    while at < len(sent):
        size = sizes[step % len(sizes)]
        assembler.feed(sent[at : at + size])
        at, step = at + size, step + 1
        while (message := assembler.take()) is not None:
            taken.append(message)
    assert (taken, assembler.is_empty) == (messages, True)


def lively_bytes(seed: int) -> bytes:
    """What a client of several calls sends, good or bad."""
    choose = random.Random(seed)
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    open_streams: list[int] = []
    for _ in range(choose.randrange(1, 25)):
        what = choose.randrange(6)
        if what <= 1 or not open_streams:
            path = choose.choice([ECHO, FAIL, COLLECT, "/none"]).encode()
            head = [(name, path if name == b":path" else value) for name, value in HEAD]
            more = [(b"grpc-timeout", b"1S")] if choose.random() < 0.2 else []
            open_streams.append(client.send_request([*head, *more]))
        elif what <= 3:
            stream = choose.choice(open_streams)
            data = framed([choose.randbytes(choose.choice([0, 1, 40, 5000]))])
            client.send_data(stream, data[: len(data) if choose.random() < 0.8 else choose.randrange(len(data))])
        elif what == 4:
            client.end_stream(open_streams.pop(choose.randrange(len(open_streams))))
        else:
            client.reset_stream(open_streams.pop(choose.randrange(len(open_streams))))
    return client.data_to_send()


def damaged(sent: bytes, seed: int) -> bytes:
    """Some bytes changed, left out or repeated."""
    choose, data = random.Random(seed), bytearray(sent)
    for _ in range(choose.randrange(4)):
        at = choose.randrange(len(PREFACE), len(data)) if len(data) > len(PREFACE) else 0
        match choose.randrange(3):
            case 0:
                data[at : at + 1] = choose.randbytes(1)
            case 1:
                del data[at : at + choose.randrange(1, 20)]
            case _:
                data[at:at] = data[at : at + choose.randrange(1, 200)]
    return bytes(data)


@pytest.mark.parametrize("start", range(0, 2000, 500))
def test_damaged_connections_raise_nothing_and_leave_nothing(start: int) -> None:
    for seed in range(start, start + 500):
        tests, budget, choose = Tests(), Budget(), random.Random(seed)
        connection = Pair(tests, tests.shared(budget=budget)).connection
        connection = type(connection)(tests.shared(budget=budget), lambda: None, 0.0)
        sent = damaged(lively_bytes(seed), seed)
        at = 0
        while at < len(sent) and not connection.is_finished:
            size = choose.choice([1, 7, 64, 4096])
            connection.receive(sent[at : at + size], 0.0)
            connection.advance(0.0)
            connection.take_output()
            at += size
        connection.expire(5.0)
        connection.lost()
        assert [len(handler.closes) for handler in tests.handlers] == [1] * len(tests.handlers), seed
        assert budget.is_free, seed


@given(st.binary(max_size=2000))
def test_noise_behind_a_preface_raises_nothing(noise: bytes) -> None:
    tests = Tests()
    connection = Pair(tests).connection
    connection.receive(noise, 0.0)
    connection.advance(0.0)
    connection.take_output()
    connection.lost()
