"""Reading token usage never costs an answer: its bytes and status are the same, whatever it is and however it comes.

The model server is a socket that writes the bytes it is told to, at the port of the bed where nobody else listens.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from controlplane.options import Options
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST

pytestmark = pytest.mark.envoy

JSON = "application/json"
CHARSET = "application/json; charset=utf-8"
STREAM = "text/event-stream; charset=utf-8"
MEGABYTE = 1_000_000
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
}
RESPONSES_USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 12,
}
READ = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cached_tokens": 4}
DOCUMENT = json.dumps({"usage": USAGE}).encode()
EVENTS = b'data: {"choices": [{"text": "a"}]}\n\ndata: %b\n\ndata: [DONE]\n\n' % DOCUMENT


@dataclass
class Server:
    """Answers every request with `head` and then the pieces, each once the client has the one before."""

    head: bytes = b""
    pieces: Sequence[bytes] = ()
    received: asyncio.Event = field(default_factory=asyncio.Event)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _request_head(reader):
                await reader.readexactly(_length(request))
                writer.write(self.head)
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await self.received.wait()
                if b"connection: close" in self.head:
                    break
        finally:
            writer.close()

    def answer(self, body: bytes, content_type: str, *, chunked: bool = False, headers: str = "") -> None:
        """One whole body, with its length or in chunks."""
        length = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
        self.head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{length}\r\n{headers}\r\n".encode()
        self.pieces = (_chunks(body),) if chunked else (body,)
        self.received.set()

    def cut(self, body: bytes, at: int, *, chunked: bool = False) -> None:
        """The beginning of an answer, and then the end of the connection."""
        self.answer(body, JSON, chunked=chunked, headers="connection: close\r\n")
        self.pieces = [self.pieces[0][:at]]

    def answer_in_turn(self, pieces: Sequence[bytes]) -> None:
        """A stream of events, of which each piece waits for the client to have the one before."""
        self.head = f"HTTP/1.1 200 OK\r\ncontent-type: {STREAM}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        self.pieces = [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece), b"0\r\n\r\n"]
        self.received.clear()


async def _request_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n")[0] or 0)


def _chunks(body: bytes, size: int = 65536) -> bytes:
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def document(size: int) -> bytes:
    """A JSON answer of exactly so many bytes."""
    empty = json.dumps({"padding": "", "usage": USAGE}).encode()
    return empty.replace(b'""', b'"%b"' % (b"x" * (size - len(empty))), 1)


@dataclass
class Line:
    """A client's way through the gateway to the server, and what the picker heard of it."""

    bed: Bed
    server: Server
    session: aiohttp.ClientSession

    async def ask(self, method: str = "POST", path: str = "/v1/completions") -> tuple[int, bytes]:
        """Status and body as they came, neither decompressed nor otherwise touched."""
        body = b'{"model": "open"}' if method == "POST" else None
        self.bed.picker.log.entries.clear()
        url, headers = self.bed.gateway.url + path, {"content-type": JSON}
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            parts = []
            async for part in answer.content.iter_any():
                parts.append(part)
                self.server.received.set()
            return answer.status, b"".join(parts)

    async def usage(self) -> dict[str, object]:
        """What Envoy's log said of the last answer."""
        async with asyncio.timeout(10):
            while not (ended := [entry for entry in self.bed.picker.log.entries if entry.response.response_code.value]):
                await asyncio.sleep(0.01)
        return dict(ended[-1].common_properties.metadata.filter_metadata["llm"])


@asynccontextmanager
async def line_through(bed: Bed) -> AsyncIterator[Line]:
    server = Server()
    bed.pick(bed.dead)
    async with (
        await asyncio.start_server(server.converse, HOST, bed.dead),
        aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        yield Line(bed, server, session)
        errors = await bed.gateway.stats("lua.errors$")
        assert not any(errors.values()), errors


@pytest.fixture
async def line(bed: Bed) -> AsyncIterator[Line]:
    async with line_through(bed) as made:
        yield made


async def test_a_large_json_answer_passes_untouched_and_is_read_while_it_is_safe(line: Line) -> None:
    for content_type in (JSON, CHARSET):
        for size, chunked, read in (
            (8 * MEGABYTE, False, READ),
            (10 * MEGABYTE - 1, False, READ),
            (10 * MEGABYTE, False, {}),
            (70 * MEGABYTE, False, {}),
            (70 * MEGABYTE, True, {}),
            (1000, True, {}),
        ):
            body = document(size)
            line.server.answer(body, content_type, chunked=chunked)

            status, received = await line.ask()

            assert (status, received == body) == (200, True), (content_type, size, chunked, received[:200])
            assert await line.usage() == read, (content_type, size, chunked)


@pytest.mark.parametrize("limit", [MEGABYTE, 1024 * 1024, 100_000])
async def test_an_answer_above_a_lowered_limit_passes_untouched(make_bed: MakeBed, limit: int) -> None:
    async with make_bed(Options(body_limit=limit)) as bed, line_through(bed) as line:
        for content_type in (JSON, CHARSET):
            for size, chunked in ((2 * MEGABYTE, False), (2 * MEGABYTE, True), (limit + 1, False), (limit, False)):
                body = document(size)
                line.server.answer(body, content_type, chunked=chunked)
                assert await line.ask() == (200, body), (content_type, size, chunked)
                assert await line.usage() in (READ, {})

            line.server.answer(document(limit // 11), content_type)
            await line.ask()
            assert await line.usage() == READ


async def test_nothing_is_read_and_everything_passes_with_extraction_off(make_bed: MakeBed) -> None:
    async with make_bed(Options(usage_extraction=False, body_limit=MEGABYTE)) as bed, line_through(bed) as line:
        for body, content_type in ((document(70 * MEGABYTE), JSON), (DOCUMENT, CHARSET), (EVENTS, STREAM)):
            for chunked in (False, True):
                line.server.answer(body, content_type, chunked=chunked)

                assert await line.ask() == (200, body)
                assert await line.usage() == {}


async def test_usage_is_read_under_the_names_that_responses_and_messages_give_it(line: Line) -> None:
    whole = json.dumps({"object": "response", "usage": RESPONSES_USAGE}).encode()
    completed = json.dumps({"type": "response.completed", "response": {"usage": RESPONSES_USAGE}}).encode()
    cached = b'"cache_read_input_tokens": 4, "cache_creation_input_tokens": 2'
    delta = b'{"type": "message_delta", "usage": {"input_tokens": 7, "output_tokens": 5, %b}}' % cached
    counted = {"prompt_tokens": 7, "completion_tokens": 5, "cached_tokens": 4, "cache_creation_tokens": 2}
    counted["cache_read_tokens"] = 4
    for body, content_type, read in (
        (whole, JSON, {**READ, "reasoning_tokens": 0}),
        (b"event: response.completed\ndata: %b\n\n" % completed, STREAM, {**READ, "reasoning_tokens": 0}),
        (delta, JSON, counted),
        (
            b'event: message_delta\ndata: %b\n\nevent: message_stop\ndata: {"type": "message_stop"}\n\n' % delta,
            STREAM,
            counted,
        ),
    ):
        line.server.answer(body, content_type)

        assert await line.ask() == (200, body)
        assert await line.usage() == read, body


DEEP = b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
ODD_DOCUMENTS: tuple[tuple[bytes, dict[str, float] | None], ...] = (
    (b"{", {}),
    (b"\xff\xfe\x00", {}),
    (b"null", {}),
    (b"3", {}),
    (b'"usage"', {}),
    (b"[1, 2]", {}),
    (DOCUMENT + b"trailing", {}),
    (b'{"usage": null}', {}),
    (b'{"usage": "x"}', {}),
    (b'{"usage": [1]}', {}),
    (b'{"usage": {"prompt_tokens": {}, "completion_tokens": [], "total_tokens": null}}', {}),
    (b'{"usage": {"prompt_tokens": "12", "completion_tokens": "many", "total_tokens": 3}}', None),
    (b'{"usage": {"prompt_tokens": 18446744073709551616, "total_tokens": 1e300, "completion_tokens": -1}}', None),
    (b'{"usage": {"prompt_tokens": 1e999}}', {}),
    (b'{"usage": {"prompt_tokens": "nan", "completion_tokens": "inf"}}', None),
    (b'{"usage": {"prompt_tokens": 1, "prompt_tokens_details": null}}', {"prompt_tokens": 1}),
    (DEEP, {}),
)


async def test_an_odd_document_passes_untouched_as_an_answer_and_as_an_event(line: Line) -> None:
    """Where what is read is None, the picker judges it: numbers in strings and absurd ones."""
    for body, read in ODD_DOCUMENTS:
        for sent, content_type in ((body, JSON), (body, CHARSET), (b"data: %b\n\n" % body, STREAM)):
            line.server.answer(sent, content_type)

            assert await line.ask() == (200, sent), (body[:80], content_type)
            usage = await line.usage()
            assert content_type == STREAM or read is None or usage == read, (body[:80], content_type)


async def test_a_compressed_answer_passes_untouched_and_unread(line: Line) -> None:
    for body, content_type in ((DOCUMENT, JSON), (DOCUMENT, CHARSET), (EVENTS, STREAM)):
        packed = gzip.compress(body)
        for chunked in (False, True):
            line.server.answer(packed, content_type, chunked=chunked, headers="content-encoding: gzip\r\n")

            assert await line.ask() == (200, packed)
            assert await line.usage() == {}


async def test_an_answer_without_a_body_passes(line: Line) -> None:
    for status, length in ((200, "content-length: 0"), (204, "x: y"), (304, "content-length: 5"), (200, "x: chunked")):
        line.server.answer(b"", JSON)
        body = "transfer-encoding: chunked" if length == "x: chunked" else length
        end = b"0\r\n\r\n" if length == "x: chunked" else b""
        line.server.head = f"HTTP/1.1 {status} X\r\ncontent-type: {JSON}\r\n{body}\r\n\r\n".encode() + end

        assert await line.ask() == (status, b""), (status, length)


async def test_the_answer_to_a_head_request_passes(make_bed: MakeBed) -> None:
    async with make_bed(info=INFO) as bed, line_through(bed) as line:
        for length in (0, 1000, 70 * MEGABYTE):
            line.server.answer(b"", JSON)
            line.server.head = f"HTTP/1.1 200 OK\r\ncontent-type: {JSON}\r\ncontent-length: {length}\r\n\r\n".encode()

            assert await line.ask("HEAD", "/info") == (200, b"")


INFO = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: info}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {type: Exact, value: /info}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: closed}]
"""


async def test_an_answer_that_its_server_cuts_while_it_is_read_becomes_an_error(line: Line) -> None:
    """It has not begun for the client."""
    line.server.cut(document(1000), 500)

    assert (await line.ask())[0] == 503


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_an_answer_that_its_server_cuts_after_it_began_is_never_taken_for_a_whole_one(
    line: Line, chunked: bool
) -> None:
    line.server.cut(document(20 * MEGABYTE), 10 * MEGABYTE, chunked=chunked)
    line.server.received.clear()  # the cut comes once the client has the answer's head and the first of its body

    with pytest.raises(aiohttp.ClientPayloadError):
        await line.ask()


async def test_a_rule_that_shares_requests_out_reads_usage_too(make_bed: MakeBed) -> None:
    ref = "{group: inference.networking.k8s.io, kind: InferencePool, name: %s, weight: %d}"
    shared = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shared}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - matches: [{{path: {{value: /shared}}}}]
    backendRefs: [{ref % ("open", 1)}, {ref % ("closed", 1)}]
"""
    async with make_bed(shared=shared) as bed, line_through(bed) as line:
        for size, read in ((12 * MEGABYTE, {}), *[(1000, READ)] * 40):  # each backend is missed once in 2 ** 40
            body = document(size)
            line.server.answer(body, JSON)
            assert await line.ask(path="/shared") == (200, body)
            assert await line.usage() == read
    assert set(bed.orders.pools) == {"default/open", "default/closed"}


# --- Streams ---------------------------------------------------------------------------------------------------------


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
