"""Reading token usage never costs an answer: its bytes and status are the same, whatever it is and however it comes."""

import gzip
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from controlplane.options import Options
from tests.contract.envoy.answering import (
    CHARSET,
    DOCUMENT,
    EVENTS,
    JSON,
    MEGABYTE,
    READ,
    RESPONSES_USAGE,
    STREAM,
    Line,
    document,
    line_through,
)
from tests.contract.envoy.conftest import Bed, MakeBed

pytestmark = pytest.mark.envoy


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
