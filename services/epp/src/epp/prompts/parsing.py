"""Reads a request's body once: model, prompt, session, and what else the decision needs.

Pure: bytes in, `InferenceRequest` or `Rejection` out. The body's structure is bounded before an object is built; it is
parsed exactly one time and never written again; a rewritten model replaces only that value (`epp.picking.rewrite`). The
canonical prompt is what the engine's chat template makes of the request (`epp.prompts.conversation`), in an order in
which an earlier turn is a byte prefix of a later one. Four bytes of it count as one token.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from epp.domain import Request
from epp.prompts.apis import Api, api_of
from epp.prompts.chat import write_chat
from epp.prompts.families import family_of
from epp.prompts.invalid import RefusedError, wrong_kind
from epp.prompts.messages import write_messages
from epp.prompts.plain import (
    write_completion,
    write_embeddings,
    write_generate,
    write_pooling,
    write_rerank,
    write_score,
)
from epp.prompts.request import InferenceRequest
from epp.prompts.responses import write_items, write_responses
from epp.prompts.sessions import session_of
from epp.prompts.stored import named_by_body, named_by_path
from epp.prompts.writer import JsonObject, Writer
from gateway.wire import protocol, refusals
from gateway.wire.bodies import refusal_of_structure
from gateway.wire.errors import Rejection
from gateway.wire.forms import form_fields, is_form
from gateway.wire.models import is_model_name

_JSON: Final = "application/json"  # as nearly all clients write it
_WRITERS: Mapping[Api, Callable[[Writer, JsonObject], None]] = {
    Api.CHAT: write_chat,
    Api.COMPLETIONS: write_completion,
    Api.EMBEDDINGS: write_embeddings,
    Api.MESSAGES: write_messages,
    Api.RESPONSES: write_responses,
    Api.CONVERSATIONS: write_items,
    Api.GENERATE: write_generate,
    Api.RERANK: write_rerank,
    Api.SCORE: write_score,
    Api.POOLING: write_pooling,
}
# Servers of one model take these without naming it.
_MODEL_OPTIONAL = frozenset(
    (Api.OTHER, Api.CONVERSATIONS, Api.GENERATE, Api.RERANK, Api.SCORE, Api.POOLING, Api.TOKENS)
)


def write_prompt(writer: Writer, api: Api, body: JsonObject) -> None:
    """Collect the canonical prompt of a body; one of no known API has none."""
    if (write := _WRITERS.get(api)) is not None:
        write(writer, body)


def parse(
    request: Request, *, is_opaque: bool = False, volatile_lines: Sequence[str] = ()
) -> InferenceRequest | Rejection:
    """Read the body. `is_opaque` (the passthrough parser) looks at headers only. Lines that begin with one of
    `volatile_lines` are no part of the prompt.
    """
    api = api_of(request.path)
    if is_opaque or not request.body:
        return _unread(request, api)
    content_type = request.headers.get("content-type", "")
    if content_type != _JSON:
        if is_form(content_type):
            return _read_form(request, api)
        if not _is_json(content_type, api):
            return _unread(request, api)
    refusal = refusal_of_structure(request.body) if request.document is None else None
    if refusal is not None:
        return refusal
    try:
        return _read(request, api, volatile_lines)
    except RefusedError as error:
        return error.rejection
    except orjson.JSONDecodeError as error:
        return refusals.invalid_json(error)


def _unread(request: Request, api: Api) -> InferenceRequest:
    return InferenceRequest(
        model=None, api=api, headers=request.headers, named_session=session_of(request.headers, {}),
        stored_id=named_by_path(request.path),
    )  # fmt: skip


def _is_json(content_type: str, api: Api) -> bool:
    content_type = content_type.partition(";")[0].strip().lower()
    if not content_type:
        return True
    return content_type.endswith(("/json", "+json")) or (
        api is not Api.OTHER and content_type in ("text/plain", "application/x-www-form-urlencoded")
    )  # what curl and some clients send by default with a JSON body


def _read(request: Request, api: Api, volatile_lines: Sequence[str]) -> InferenceRequest:
    body = orjson.loads(request.body) if request.document is None else request.document
    if not isinstance(body, dict):
        raise RefusedError(refusals.not_an_object(body))
    model = body.get("model")
    if not isinstance(model, str) and (model is not None or api not in _MODEL_OPTIONAL):
        raise RefusedError(refusals.model_not_a_string(model) if "model" in body else refusals.model_missing())
    if model is not None:
        _check_name(model, "model")
    if (rewrite := request.headers.get(protocol.MODEL_NAME_REWRITE)) is not None:
        _check_name(rewrite, protocol.MODEL_NAME_REWRITE)
    writer = Writer(family_of(model or ""), volatile_lines)
    write_prompt(writer, api, body)
    salt = body.get("cache_salt")
    if salt is not None and not isinstance(salt, str):
        raise wrong_kind(("cache_salt",), "a string", salt)
    return InferenceRequest(  # by position, which takes half the time
        model, model or "", api, writer.canonical(), salt or "", body.get("stream") is True, writer.has_media,
        _max_tokens(body), 0, request.headers, writer.media_tokens, session_of(request.headers, body), writer.opening,
        named_by_path(request.path) or named_by_body(body),
    )  # fmt: skip


def _read_form(request: Request, api: Api) -> InferenceRequest | Rejection:
    """Audio and images: the model counts, the prompt is no prefix of anything."""
    fields = form_fields(request.headers["content-type"], request.body)
    model = fields.get("model") or None
    if model is not None and not is_model_name(model):
        return refusals.not_a_name()
    return InferenceRequest(
        model, model or "", api, is_streaming=fields.get("stream", "").lower() == "true", has_media=True,
        headers=request.headers, named_session=session_of(request.headers, {}),
    )  # fmt: skip


def _check_name(name: str, param: str) -> None:
    if not is_model_name(name):
        raise RefusedError(refusals.not_a_name(param))


def _max_tokens(body: JsonObject) -> int | None:
    for key in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = body.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
