"""What the body-based router makes of bodies; the sequences are those of the reference's own black-box tests."""

import gzip
from typing import Any

import orjson
import pytest

from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Modes,
    Mutation,
)
from gateway.router.conversation import Reading, RouterConversation, Routing, lift
from gateway.router.metrics import Metrics
from gateway.routing.catalogue import Reader, default_plugins
from gateway.routing.chain import Chain
from gateway.wire.models import MODEL_LIMIT, is_json

REQUEST = Direction.REQUEST
JSON = {"content-type": "application/json"}
MODEL, OTHER, BASE = "x-gateway-model-name", "x-gateway-inference-model", "x-gateway-base-model-name"
CHAIN = Chain(default_plugins(), Metrics("test"))
NAMES = {"qwen": "qwen", "food-review": "qwen"}


def route(body: bytes, *, mode: BodyMode = BodyMode.BUFFERED, headers: dict[str, str] = JSON) -> list[Any]:
    seen: list[Reading] = []
    talk = RouterConversation(Routing(CHAIN, NAMES), seen.append, Modes(mode, BodyMode.NONE))
    replies = [*talk.receive(HeadersReceived(REQUEST, headers, end_of_stream=False), 0.0)]
    middle = len(body) // 2
    if mode is BodyMode.FULL_DUPLEX_STREAMED:
        replies += talk.receive(BodyReceived(REQUEST, body[:middle], end_of_stream=False), 0.0)
        body = body[middle:]
    replies += talk.receive(BodyReceived(REQUEST, body, end_of_stream=True), 0.0)
    assert talk.is_finished
    assert len(seen) == 1
    return replies


def refusal(body: bytes, **options) -> Any:
    reply = route(body, **options)[-1]
    assert isinstance(reply, ImmediateReply)
    assert (reply.status, reply.headers) == (400, (("content-type", "application/json"),))
    return orjson.loads(reply.body)["error"]


def set_headers(reply) -> dict[str, str]:
    return dict(reply.mutation.set_headers)


@pytest.mark.parametrize(("model", "base"), [("qwen", "qwen"), ("food-review", "qwen")])
def test_a_known_model_brings_all_headers_and_a_new_choice_of_route(model: str, base: str) -> None:
    first, reply = route(orjson.dumps({"model": model, "prompt": "x"}))
    assert first == HeadersReply(REQUEST)
    assert isinstance(reply, BodyReply)
    assert reply.body is None
    assert set_headers(reply) == {MODEL: model, OTHER: model, BASE: base}
    assert reply.mutation.clear_route_cache


def test_an_unknown_model_brings_no_base() -> None:
    assert set_headers(route(b'{"model":"foo"}')[-1]) == {MODEL: "foo", OTHER: "foo"}


def test_streaming_holds_the_headers_and_sends_the_body_on_unchanged() -> None:
    body = b'{"model": "food-review",  "prompt": "kept as it is"}'
    reply, chunk = route(body, mode=BodyMode.FULL_DUPLEX_STREAMED)
    assert isinstance(reply, HeadersReply)
    assert set_headers(reply) == {MODEL: "food-review", OTHER: "food-review", BASE: "qwen"}
    assert chunk == ChunkReply(REQUEST, body, end_of_stream=True)


@pytest.mark.parametrize("body", [b'{"prompt":"x"}', b'{"model":null}', b'{"model":""}'])
def test_no_model_passes_without_headers(body: bytes) -> None:
    reply = route(body)[-1]
    assert reply.mutation == Mutation(clear_route_cache=True)


def test_a_clients_own_model_headers_are_removed() -> None:
    reply = route(b"{}", headers={**JSON, MODEL: "x", BASE: "y"})[-1]
    assert set(reply.mutation.remove_headers) == {MODEL, BASE}
    reply = route(b'{"model":"foo"}', headers={**JSON, MODEL: "x", BASE: "y"})[-1]
    assert reply.mutation.remove_headers == (BASE,)


@pytest.mark.parametrize("body", [b"{", b"no healthy upstream", b'{"model":"\xff"}', b"[" * 100_000])
def test_malformed_json_is_refused_when_it_says_that_it_is_json(body: bytes) -> None:
    assert refusal(body)["code"] == "invalid_json"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "", "application/octet-stream"]
)
def test_other_bodies_pass(content_type: str) -> None:
    reply = route(b"\x00\xff{", headers={"content-type": content_type})[-1]
    assert reply.mutation.set_headers == ()


@pytest.mark.parametrize("body", [b'{"model":1}', b'{"model":"a\\nb"}', b'{"model":"qwen"'])
def test_a_body_that_does_not_say_it_is_json_is_never_refused(body: bytes) -> None:
    reply = route(body, headers={"content-type": "text/plain"})[-1]
    assert reply.mutation.set_headers == ()


def test_json_without_its_content_type_is_still_routed() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert set_headers(route(b' {"model":"qwen"}', headers=headers)[-1])[MODEL] == "qwen"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[1]", "an array"),
        (b"1", "a number"),
        (b"null", "null"),
        (b'{"model":1}', "a number"),
        (b'{"model":["a"]}', "an array"),
        (b'{"model":true}', "a boolean"),
        (b'{"model":"a\\nx-admin: 1"}', "printable"),
        (orjson.dumps({"model": "m" * (MODEL_LIMIT + 1)}), "printable"),
    ],
)
def test_json_that_names_no_model_as_it_should_is_refused_in_words(body: bytes, words: str) -> None:
    error = refusal(body)
    assert error["code"] == "invalid_request"
    assert words in error["message"]
    assert error["param"] == ("model" if b"model" in body else None)


def test_a_request_without_a_body_passes() -> None:
    talk = RouterConversation(Routing(CHAIN, NAMES), lambda _: None, Modes(BodyMode.BUFFERED, BodyMode.NONE))
    (reply,) = talk.receive(HeadersReceived(REQUEST, {":method": "GET"}, end_of_stream=True), 0.0)
    assert reply == HeadersReply(REQUEST, Mutation(clear_route_cache=True))
    assert talk.is_finished


def test_half_a_body_passes_unread() -> None:
    talk = RouterConversation(Routing(CHAIN, NAMES), lambda _: None, Modes(BodyMode.BUFFERED_PARTIAL, BodyMode.NONE))
    talk.receive(HeadersReceived(REQUEST, JSON, end_of_stream=False), 0.0)
    reply: Any
    (reply,) = talk.receive(BodyReceived(REQUEST, b'{"model":"qw', end_of_stream=False), 0.0)
    assert reply.mutation.set_headers == ()


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/vnd.api+json", True),
        ("text/json-ish", False),
        ("", False),
    ],
)
def test_json_content_types(content_type: str, expected: bool) -> None:
    assert is_json(content_type) is expected


def test_the_model_of_a_large_prompt_is_found() -> None:
    assert lift(JSON, orjson.dumps({"prompt": "x" * 2_000_000, "model": "qwen"})).model == "qwen"


AUDIO = (
    b'--xyz\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
    b'--xyz\r\ncontent-disposition: form-data; name="model"\r\n\r\nfood-review\r\n--xyz--\r\n'
)


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
def test_the_model_of_a_form_is_lifted(mode: BodyMode) -> None:
    replies = route(AUDIO, mode=mode, headers={"content-type": "multipart/form-data; boundary=xyz"})
    found = next(set_headers(reply) for reply in replies if set_headers(reply))
    assert found == {MODEL: "food-review", OTHER: "food-review", BASE: "qwen"}


def test_a_compressed_body_is_read_and_left_as_it_is() -> None:
    reply = route(gzip.compress(b'{"model": "qwen"}'), headers={**JSON, "content-encoding": "gzip"})[-1]
    assert set_headers(reply)[MODEL] == "qwen"
    assert reply.body is None


def test_errors_of_the_messages_api_have_anthropics_shape() -> None:
    reply = route(b"{", headers={**JSON, ":path": "/v1/messages", "x-request-id": "r"})[-1]
    assert orjson.loads(reply.body)["error"]["type"] == "invalid_request_error"
    assert dict(reply.headers)["request-id"] == "r"


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED])
def test_a_body_that_a_plugin_changed_goes_on_with_its_length(mode: BodyMode) -> None:
    line, rest = b"x-anthropic-billing-header: cch=1;\\n", b'{"model":"m","system":"%b be kind"}'
    chain = Chain([*default_plugins(), *Reader().read(["strip-volatile-lines:strip"])], Metrics("test"))
    talk = RouterConversation(Routing(chain, NAMES), lambda _: None, Modes(mode, BodyMode.NONE))
    replies = [*talk.receive(HeadersReceived(REQUEST, JSON, end_of_stream=False), 0.0)]
    replies += talk.receive(BodyReceived(REQUEST, rest % line, end_of_stream=True), 0.0)
    expected = rest % b""
    sent = b"".join(
        reply.body or b"" if isinstance(reply, BodyReply) else reply.data
        for reply in replies
        if isinstance(reply, BodyReply | ChunkReply)
    )
    assert sent == expected
    headers = {
        name: value for reply in replies if hasattr(reply, "mutation") for name, value in reply.mutation.set_headers
    }
    assert headers[MODEL] == "m"
    assert headers["content-length"] == str(len(expected))
