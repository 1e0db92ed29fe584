"""Reading token usage never costs a stream: its bytes are the same, wherever they are cut."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.contract.envoy.answering import DOCUMENT, EVENTS, JSON, MEGABYTE, READ, STREAM, Line, line_through
from tests.contract.envoy.conftest import Bed

pytestmark = pytest.mark.envoy


@pytest.fixture
async def line(bed: Bed) -> AsyncIterator[Line]:
    async with line_through(bed) as made:
        yield made


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
async def test_a_stream_cut_at_every_byte_passes_untouched_and_is_read(line: Line, end: bytes) -> None:
    stream = EVENTS.replace(b"\n", end)
    for position in range(len(stream)):
        line.server.answer_in_turn([stream[:position], stream[position:]])

        assert await line.ask() == (200, stream), position
        assert await line.usage() == READ, position


async def test_a_stream_in_single_bytes_passes_untouched_and_is_read(line: Line) -> None:
    line.server.answer_in_turn([bytes([byte]) for byte in EVENTS])

    assert await line.ask() == (200, EVENTS)
    assert await line.usage() == READ


async def test_the_id_of_a_response_is_read_wherever_its_bytes_are_cut(line: Line) -> None:
    created = b'event: response.created\ndata: {"type": "response.created", "response": {"id": "resp_1"}}\n\n'
    chat = b'data: {"id": "chatcmpl-1", "object": "chat.completion.chunk"}\n\n'
    for stream, read in ((created, {"id": "resp_1", "lacks_end": 1}), (chat, {"lacks_end": 1})):
        line.server.answer_in_turn([stream[at : at + 1] for at in range(len(stream))])
        status, received = await line.ask()
        assert (status, received.startswith(stream)) == (200, True)
        assert await line.usage() == read

    whole = b'{"id": "resp_2", "object": "response", "status": "queued", "usage": null}'
    line.server.answer(whole, JSON)
    assert await line.ask() == (200, whole)
    assert await line.usage() == {"id": "resp_2"}


async def test_odd_streams_pass_untouched(line: Line) -> None:
    large = b'data: {"padding": "%b"}\n\n' % (b"x" * 200_000)
    for stream, read in (
        (b"", {}),
        (b"\n\n\n", {}),
        (b": ping\n\n" * 1000, {}),
        (b": ping", {}),
        (b"data: [DONE]\n\n", {}),
        (b"data: %b" % DOCUMENT, READ),
        (b"data: %b\n" % DOCUMENT, READ),
        (b"\xef\xbb\xbfdata: %b\n\n" % DOCUMENT, READ),
        (b"event: x\nid: 1\ndata: %b\n\n" % DOCUMENT, READ),
        (b"data:%b\n\n" % DOCUMENT, READ),
        (b": a\n\n" + EVENTS + b": z", READ),
        (large + EVENTS, READ),
        (EVENTS + large, {}),
        (b"x" * 5 * MEGABYTE, {}),
        (b"data: " + b"x" * 5 * MEGABYTE + b"\n\n" + EVENTS, READ),
        (b'data: {"usage": null}\n\n' + EVENTS + b'data: {"usage": null}\n\n', READ),
        (EVENTS.replace(b"7", b"1", 1) + EVENTS, READ),
        (EVENTS + b'data: {"usage": {"total_tokens": 3\n\n', {}),
        (b'data: {"usage" : {"prompt_tokens" : 8}}\n\n', {"prompt_tokens": 8}),
        (b'data: {"usage": {"prompt_tokens": %b, "total_tokens": -1}}\n\n' % (b"9" * 400), {}),
        (b'data: {"usage": {"prompt_tokens": 1e3, "completion_tokens": 5.5}}\n\n', {}),
        (b'data: {"usage": {"prompt_tokens": 8 ,"total_tokens": 9\n}}\n\n', {"prompt_tokens": 8, "total_tokens": 9}),
        (b'data: {"usage": {"prompt_tokens": 12', {}),
        (b'data: {"text": "\\"usage\\": {\\"prompt_tokens\\": 9}"}\n\n', {}),
        (b'"usage":{' * 200_000, {}),
    ):
        for chunked in (False, True):
            line.server.answer(stream, STREAM, chunked=chunked)

            assert await line.ask() == (200, stream), stream[:80]
            usage = await line.usage()
            assert usage == read, (stream[:80], usage)


async def test_a_hundred_megabytes_of_events_pass_untouched_and_are_read(line: Line) -> None:
    event = b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % (b"word " * 40)
    stream = event * (100 * MEGABYTE // len(event)) + EVENTS
    line.server.answer(stream, STREAM, chunked=True)

    status, received = await line.ask()

    assert (status, received == stream) == (200, True)
    assert await line.usage() == READ


CHUNK = b'data: {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "[DONE]"}}]}\n\n'
DELTA = b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {"text": "a"}}\n\n'
TEXT = b'event: response.output_text.delta\ndata: {"type": "response.output_text.delta", "delta": "a"}\n\n'


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        (CHUNK, b"data: [DONE]\n\n"),
        (DELTA, b'event: message_stop\ndata: {"type": "message_stop"}\n\n'),
        (DELTA, b'event: error\ndata: {"type": "error", "error": {}}\n\n'),
        (TEXT, b'event: response.completed\ndata: {"type":"response.completed"}\n\n'),
        (TEXT, b'event: response.incomplete\ndata: {"type":"response.incomplete"}\n\n'),
        (b'data: {"other": "api"}\n\n', b""),
    ],
)
async def test_a_stream_that_ends_without_its_last_event_is_marked(line: Line, event: bytes, ending: bytes) -> None:
    for last, expected in ((b"", {"lacks_end": 1} if ending else {}), (ending, {})):
        line.server.answer_in_turn([event * 3, event, last])

        assert (await line.ask())[0] == 200
        assert await line.usage() == expected


async def test_an_answer_that_ends_in_the_middle_gets_an_error_as_its_last_event(line: Line) -> None:
    for event, name, place in ((CHUNK, b"", ("error",)), (DELTA, b"error", ("error",)), (TEXT, b"error", ())):
        line.server.answer_in_turn([event * 3, event])
        status, received = await line.ask()
        last = received.removeprefix(event * 4).strip()

        assert (status, received.startswith(event * 4)) == (200, True)
        assert last.startswith(b"event: error\ndata: " if name else b"data: ")
        error = json.loads(last.rpartition(b"data: ")[2])
        for key in place:
            error = error[key]
        assert error["message"] == "The model server ended the answer before it was whole."


async def test_an_answer_that_is_over_and_one_with_a_length_get_no_error(line: Line) -> None:
    over = CHUNK + b'data: {"object": "chat.completion.chunk", "choices": [{"finish_reason": "stop"}]}\n\n'
    stopped = DELTA + b'event: message_delta\ndata: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}\n\n'
    for stream in (over, stopped):
        line.server.answer_in_turn([stream])
        assert await line.ask() == (200, stream)
        assert await line.usage() == {"lacks_end": 1}
    line.server.answer(CHUNK, STREAM)
    assert await line.ask() == (200, CHUNK)
