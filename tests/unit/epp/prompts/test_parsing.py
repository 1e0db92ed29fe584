"""Bodies are read once and strictly; bad ones are refused in words."""

from collections.abc import Mapping

import orjson
import pytest

from epp.domain import Request
from epp.prompts.apis import Api, api_of
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest
from epp.prompts.writer import ITEM_LIMIT
from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.models import MODEL_LIMIT
from gateway.wire.protocol import MODEL_NAME_REWRITE

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def read(
    body: object, path: str = COMPLETIONS, headers: Mapping[str, str] | None = None
) -> InferenceRequest | Rejection:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return parse(Request(None, "POST", path, headers or {"content-type": "application/json"}, raw))


def accepted(body: object, path: str = COMPLETIONS) -> InferenceRequest:
    found = read(body, path)
    assert isinstance(found, InferenceRequest), found
    return found


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", Api.CHAT),
        ("/v1/chat/completions?x=1", Api.CHAT),
        ("/prefix/v1/completions/", Api.COMPLETIONS),
        ("/v1/embeddings", Api.EMBEDDINGS),
        ("/v1/responses", Api.RESPONSES),
        ("/v1/messages", Api.MESSAGES),
        ("/v1/messages/count_tokens", Api.TOKENS),
        ("/v1/responses/input_tokens", Api.TOKENS),
        ("/tokenize", Api.TOKENS),
        ("/v1/rerank", Api.RERANK),
        ("/v2/rerank", Api.RERANK),
        ("/v1/score", Api.SCORE),
        ("/classify", Api.POOLING),
        ("/v1/conversations", Api.CONVERSATIONS),
        ("/inference/v1/generate", Api.GENERATE),
        ("/v1/audio/transcriptions", Api.OTHER),
    ],
)
def test_the_path_says_which_api_it_is(path: str, api: Api) -> None:
    assert api_of(path) is api


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"model": "m", "prompt": "text"}),
        (COMPLETIONS, {"model": "m", "prompt": ["one", "two"]}),
        (COMPLETIONS, {"model": "m", "prompt": [1, 2, 3]}),
        (COMPLETIONS, {"model": "m", "prompt": [[1, 2], [3]]}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
        (CHAT, {"model": "m", "messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}]}),
        ("/v1/embeddings", {"model": "m", "input": "text"}),
        ("/v1/embeddings", {"model": "m", "input": [1, 2]}),
        ("/v1/responses", {"model": "m", "input": "text"}),
        ("/v1/responses", {"model": "m", "input": [{"role": "user", "content": "hi"}], "instructions": "be brief"}),
        ("/v1/messages", {"model": "m", "system": "s", "messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/conversations", {"model": "m", "items": [{"role": "user", "content": "hi"}]}),
        ("/inference/v1/generate", {"model": "m", "token_ids": [5, 6]}),
        ("/v1/rerank", {"model": "m", "query": "which?", "documents": ["one", {"content": []}]}),
        ("/v1/score", {"model": "m", "text_1": "one", "text_2": ["two", "three"]}),
        ("/v1/score", {"model": "m", "queries": {"content": []}, "documents": ["two"]}),
        ("/pooling", {"model": "m", "input": "text"}),
        ("/classify", {"model": "m", "input": ["text"]}),
    ],
)
def test_every_published_shape_is_accepted(path: str, body: object) -> None:
    found = accepted(body, path)
    assert found.model == "m"
    assert found.canonical


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"model": "m", "prompt": "text"}),
        ("/detokenize", {"model": "m", "tokens": [1]}),
        ("/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ("/pooling", {"model": "m", "data": {"any": "kind"}}),
    ],
)
def test_what_computes_no_prompt_has_none_to_remember(path: str, body: object) -> None:
    found = accepted(body, path)

    assert (found.model, found.canonical) == ("m", b"")


@pytest.mark.parametrize("body", [{}, {"metadata": {"topic": "demo"}}, {"items": [{"role": "user", "content": "hi"}]}])
def test_a_conversation_is_stored_without_naming_a_model(body: object) -> None:
    assert accepted(body, "/v1/conversations").model is None


@pytest.mark.parametrize("path", ["/tokenize", "/v1/rerank", "/v1/score", "/pooling", "/classify"])
def test_a_server_of_one_model_is_asked_without_naming_it(path: str) -> None:
    assert accepted({"query": "one", "documents": ["two"]}, path).model is None


def test_requests_that_rerank_for_one_query_begin_alike() -> None:
    def canonical(document: str) -> bytes:
        return accepted({"model": "m", "query": "which?" * 50, "documents": [document]}, "/v1/rerank").canonical

    assert canonical("one")[:300] == canonical("two")[:300]


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (COMPLETIONS, b"no healthy upstream", ErrorCode.INVALID_JSON, None),
        (COMPLETIONS, b'{"model": "m", "prompt": "\xff"}', ErrorCode.INVALID_JSON, None),
        (COMPLETIONS, b'{"model": "m", "prompt": "\\ud800"}', ErrorCode.INVALID_JSON, None),
        (COMPLETIONS, b"[" * 100_000, ErrorCode.INVALID_JSON, None),
        (COMPLETIONS, [1], ErrorCode.INVALID_REQUEST, None),
        (COMPLETIONS, "text", ErrorCode.INVALID_REQUEST, None),
        (COMPLETIONS, {"prompt": "hello world"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": 7, "prompt": "x"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": None, "prompt": "x"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": "m\n# TYPE x gauge", "prompt": "x"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": "m\x00", "prompt": "x"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": "m\u202e", "prompt": "x"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": "m" * (MODEL_LIMIT + 1), "prompt": "x"}, ErrorCode.INVALID_REQUEST, "model"),
        ("/v1/rerank", {"model": "m\r"}, ErrorCode.INVALID_REQUEST, "model"),
        (COMPLETIONS, {"model": "m"}, ErrorCode.INVALID_REQUEST, "prompt"),
        (COMPLETIONS, {"model": "m", "prompt": []}, ErrorCode.INVALID_REQUEST, "prompt"),
        (COMPLETIONS, {"model": "m", "prompt": 5}, ErrorCode.INVALID_REQUEST, "prompt"),
        (COMPLETIONS, {"model": "m", "prompt": [1, "x"]}, ErrorCode.INVALID_REQUEST, "prompt"),
        (COMPLETIONS, {"model": "m", "prompt": [-1]}, ErrorCode.INVALID_REQUEST, "prompt"),
        (COMPLETIONS, {"model": "m", "prompt": [1.5]}, ErrorCode.INVALID_REQUEST, "prompt"),
        (COMPLETIONS, {"model": "m", "prompt": "x", "cache_salt": 3}, ErrorCode.INVALID_REQUEST, "cache_salt"),
        (CHAT, {"model": "m"}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": []}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": "hi"}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": [7]}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": [{"role": 1, "content": "x"}]}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": 7}]}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": [{"content": [7]}]}, ErrorCode.INVALID_REQUEST, "messages"),
        (CHAT, {"model": "m", "messages": [{"content": "x"}], "add_generation_prompt": "yes"},
         ErrorCode.INVALID_REQUEST, "add_generation_prompt"),
        ("/v1/embeddings", {"model": "m", "input": None}, ErrorCode.INVALID_REQUEST, "input"),
        ("/v1/responses", {"model": "m"}, ErrorCode.INVALID_REQUEST, "input"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_with_400(path: str, body: object, code: ErrorCode, param: str | None) -> None:
    found = read(body, path)
    assert isinstance(found, Rejection)
    assert (found.status, found.code, found.param) == (400, code, param)
    assert found.message


@pytest.mark.parametrize("name", ["\x85", "m" * (MODEL_LIMIT + 1)])
def test_a_rewrite_that_is_no_name_is_refused(name: str) -> None:
    headers = {MODEL_NAME_REWRITE: name}
    found = read({"model": "m", "prompt": "x"}, headers=headers)
    assert isinstance(found, Rejection)
    assert (found.status, found.param) == (400, MODEL_NAME_REWRITE)


def test_names_of_every_language_are_names() -> None:
    assert accepted({"model": "通义千问/Qwen3 32B", "prompt": "x"}).model == "通义千问/Qwen3 32B"
    assert accepted({"model": "m" * MODEL_LIMIT, "prompt": "x"}).model == "m" * MODEL_LIMIT


MANY = ITEM_LIMIT // 2 + 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"model": "m", "prompt": ["a"] * (ITEM_LIMIT + 1)}, "prompt"),
        ("/v1/embeddings", {"model": "m", "input": [[1]] * (ITEM_LIMIT + 1)}, "input"),
        ("/v1/chat/completions", {"model": "m", "messages": [""] * 2 * MANY}, "messages"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": [""] * MANY}] * 2},
            "messages",
        ),
    ],
)
def test_more_items_than_any_prompt_has_are_refused(path: str, body: object, param: str) -> None:
    refused = read(body, path)
    assert isinstance(refused, Rejection)
    assert (refused.status, refused.param) == (400, param)
    assert str(ITEM_LIMIT) in refused.message


def test_any_number_of_token_ids_is_one_prompt() -> None:
    assert accepted({"model": "m", "prompt": [7] * (ITEM_LIMIT + 1)}).prompt_tokens == ITEM_LIMIT + 1


def test_tools_nested_beyond_reason_are_refused_not_crashed_on() -> None:
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[' + deep + b"]}"
    found = read(body, CHAT)
    assert isinstance(found, Rejection)
    assert found.status == 400


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "multipart/form-data; boundary=x", "application/grpc"]
)
def test_a_body_that_is_not_json_is_not_read(content_type: str) -> None:
    found = read(b"\x00\x01 anything", headers={"content-type": content_type})
    assert isinstance(found, InferenceRequest)
    assert (found.model, found.canonical) == (None, b"")


def test_an_unknown_path_needs_neither_model_nor_prompt() -> None:
    assert accepted({"file": "x"}, "/v1/audio/transcriptions").model is None
    assert accepted({"model": "m"}, "/v1/rerank").model == "m"


def test_a_later_turn_continues_the_bytes_of_an_earlier_one() -> None:
    turns = [
        {"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"}, {"role": "user", "content": "more"},
    ]  # fmt: skip
    short = accepted({"model": "m", "messages": turns[:2], "tools": [{"name": "t"}]}, CHAT)
    long = accepted({"tools": [{"name": "t"}], "messages": turns, "model": "m", "temperature": 1}, CHAT)
    assert long.canonical.startswith(short.canonical)


@pytest.mark.parametrize(
    "more",
    [{"tools": [{"name": "t"}]}, {"chat_template_kwargs": {"enable_thinking": False}}, {"chat_template": "{{ x }}"}],
)
def test_what_the_template_sees_is_part_of_the_prompt(more: dict[str, object]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert accepted(body, CHAT).canonical != accepted({**body, **more}, CHAT).canonical


def test_a_content_list_of_text_is_the_same_prompt_as_the_text() -> None:
    plain = accepted({"model": "m", "messages": [{"role": "user", "content": "hi"}]}, CHAT)
    parts = accepted({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, CHAT)
    assert plain.canonical == parts.canonical


def test_an_image_counts_by_its_hash() -> None:
    def canonical(url: str) -> bytes:
        content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
        found = accepted({"model": "m", "messages": [{"role": "user", "content": content}]}, CHAT)
        assert found.has_media
        return found.canonical

    assert canonical("data:" + "A" * 100_000) == canonical("data:" + "A" * 100_000)
    assert canonical("data:" + "A" * 100_000) != canonical("data:" + "B" * 100_000)
    assert len(canonical("data:" + "A" * 100_000)) < 100


def test_tokens_are_exact_for_ids_and_estimated_for_text() -> None:
    assert accepted({"model": "m", "prompt": list(range(100))}).prompt_tokens == 100
    assert accepted({"model": "m", "prompt": "abcd" * 100}).prompt_tokens == 100


def test_an_opaque_request_is_judged_by_its_headers_only() -> None:
    found = parse(Request(None, "POST", CHAT, {}, b"garbage"), is_opaque=True)
    assert isinstance(found, InferenceRequest)
    assert found.model is None
