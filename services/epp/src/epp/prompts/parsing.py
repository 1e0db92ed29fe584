"""Reads a request's body once: model, prompt, and what else the decision needs.

Pure: bytes in, `InferenceRequest` or `Rejection` out. The body is parsed exactly one time and never written again; a
rewritten model replaces only that value (`epp.picking.rewrite`). The canonical prompt is what a chat template sees,
in an order in which an earlier turn is a byte prefix of a later one: template arguments and tools, then the messages.
Media items stand there as hashes. Four bytes of it count as one token, unless the client sent token ids.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import orjson
import xxhash

from epp.domain import NO_LABELS, Request
from gateway.wire import protocol, refusals
from gateway.wire.errors import Rejection
from gateway.wire.models import is_model_name
from gateway.wire.refusals import kind_of

# Messages, their parts and listed prompts of one request together. Each costs the picker half a microsecond in which it
# decides nothing else; a request of millions would stall every other one for seconds. No prompt has so many.
ITEM_LIMIT = 100_000
BYTES_PER_TOKEN = 4  # the estimate that upstream's token producer uses, too

JsonObject = Mapping[str, object]


class Api(StrEnum):
    """Which API a path belongs to, by its ending."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    CONVERSATIONS = "conversations"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    GENERATE = "generate"
    OTHER = "other"


# Longest ending first where one ends with another.
_PATH_ENDINGS = (
    ("/chat/completions/render", Api.CHAT),
    ("/chat/completions", Api.CHAT),
    ("/completions/render", Api.COMPLETIONS),
    ("/completions", Api.COMPLETIONS),
    ("/responses", Api.RESPONSES),
    ("/conversations", Api.CONVERSATIONS),
    ("/embeddings", Api.EMBEDDINGS),
    ("/messages", Api.MESSAGES),
    ("/messages/count_tokens", Api.MESSAGES),
    ("/inference/v1/generate", Api.GENERATE),
    ("/generate", Api.GENERATE),
)

# What a chat template receives beside the messages; it is rendered before them.
_TEMPLATE_ARGUMENTS = (
    "tools",
    "tool_choice",
    "documents",
    "chat_template",
    "chat_template_kwargs",
    "response_format",
    "reasoning_effort",
)
_TEMPLATE_FLAGS = ("add_generation_prompt", "continue_final_message", "add_special_tokens")


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One request as the scheduler sees it. `model` is None for bodies that are not JSON and for requests without."""

    model: str | None
    target_model: str = ""
    api: Api = Api.OTHER
    canonical: bytes = b""
    cache_salt: str = ""
    is_streaming: bool = False
    has_media: bool = False
    max_tokens: int | None = None
    priority: int = 0
    headers: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)

    def routed(self, priority: int, target_model: str) -> "InferenceRequest":
        """The same with what the pool's objects say about it."""
        return InferenceRequest(  # dataclasses.replace would take three times as long
            self.model, target_model, self.api, self.canonical, self.cache_salt, self.is_streaming, self.has_media,
            self.max_tokens, priority, self.headers,
        )  # fmt: skip

    @property
    def prompt_tokens(self) -> int:
        """An estimate, except for prompts of token ids."""
        return len(self.canonical) // BYTES_PER_TOKEN


class _RefusedError(Exception):
    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


class _InvalidError(_RefusedError):
    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(refusals.invalid(message, param))


def api_of(path: str) -> Api:
    """The API of a path; a query string does not count."""
    bare = path.partition("?")[0].rstrip("/")
    for ending, api in _PATH_ENDINGS:
        if bare.endswith(ending):
            return api
    return Api.OTHER


def parse(request: Request, *, is_opaque: bool = False) -> InferenceRequest | Rejection:
    """Read the body. `is_opaque` (the passthrough parser) looks at headers only."""
    api = api_of(request.path)
    if is_opaque or not request.body or not _is_json(request.headers, api):
        return InferenceRequest(model=None, api=api, headers=request.headers)
    try:
        return _read(request, api)
    except _RefusedError as error:
        return error.rejection
    except orjson.JSONDecodeError as error:
        return refusals.invalid_json(error)


def _is_json(headers: Mapping[str, str], api: Api) -> bool:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content_type:
        return True
    return content_type.endswith(("/json", "+json")) or (
        api is not Api.OTHER and content_type in ("text/plain", "application/x-www-form-urlencoded")
    )  # what curl and some clients send by default with a JSON body


def _read(request: Request, api: Api) -> InferenceRequest:
    body = orjson.loads(request.body)
    if not isinstance(body, dict):
        raise _RefusedError(refusals.not_an_object(body))
    model = body.get("model")
    if not isinstance(model, str) and (model is not None or api not in (Api.OTHER, Api.GENERATE)):
        raise _RefusedError(refusals.model_not_a_string(model) if "model" in body else refusals.model_missing())
    _check_name(model, "model")
    _check_name(request.headers.get(protocol.MODEL_NAME_REWRITE), protocol.MODEL_NAME_REWRITE)
    canonical = _Canonical()
    canonical.read(api, body)
    salt = body.get("cache_salt")
    if salt is not None and not isinstance(salt, str):
        raise _InvalidError(f"'cache_salt' must be a string, got {kind_of(salt)}", "cache_salt")
    return InferenceRequest(
        model=model,
        target_model=model or "",
        api=api,
        canonical=canonical.bytes(),
        cache_salt=salt or "",
        is_streaming=body.get("stream") is True,
        has_media=canonical.has_media,
        max_tokens=_max_tokens(body),
        headers=request.headers,
    )


def _check_name(name: str | None, param: str) -> None:
    if name is not None and not is_model_name(name):
        raise _RefusedError(refusals.not_a_name(param))


def _max_tokens(body: JsonObject) -> int | None:
    for key in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = body.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


class _Canonical:
    """Collects the pieces of the canonical prompt."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.has_media = False
        self._count = 0

    def bytes(self) -> bytes:
        return b"".join(self.pieces)

    def read(self, api: Api, body: JsonObject) -> None:
        match api:
            case Api.CHAT:
                self._template_arguments(body)
                self._messages(_filled_list(body, "messages"), "messages")
            case Api.COMPLETIONS:
                self._prompt(body.get("prompt"), "prompt")
            case Api.EMBEDDINGS:
                self._prompt(body.get("input", body.get("messages")), "input")
            case Api.MESSAGES:
                self._arguments(body, ("tools", "tool_choice", "system"))
                self._messages(_filled_list(body, "messages"), "messages")
            case Api.RESPONSES:
                self._arguments(body, ("tools", "instructions"))
                self._items(body, "input")
            case Api.CONVERSATIONS:
                self._items(body, "items")
            case Api.GENERATE:
                self._generate(body)
            case Api.OTHER:
                pass

    def _template_arguments(self, body: JsonObject) -> None:
        self._arguments(body, _TEMPLATE_ARGUMENTS)
        for flag in _TEMPLATE_FLAGS:
            value = body.get(flag)
            if value is None:
                continue
            if not isinstance(value, bool):
                raise _InvalidError(f"{flag!r} must be true or false, got {kind_of(value)}", flag)

    def _arguments(self, body: JsonObject, names: Sequence[str]) -> None:
        for name in names:
            value = body.get(name)
            if value is not None:
                self.pieces += (name.encode(), b"\x1f", _dump(value, name), b"\x1e")

    def _generate(self, body: JsonObject) -> None:
        for key in ("token_ids", "input_ids", "text", "prompt"):
            if body.get(key) is not None:
                self._prompt(body[key], key)
                return

    def _prompt(self, prompt: object, param: str) -> None:
        """A string, token ids, or a list of either."""
        if isinstance(prompt, str):
            self.pieces.append(prompt.encode())
            return
        if not isinstance(prompt, list) or not prompt:
            said = "is missing" if prompt is None else "must be a non-empty string or list"
            raise _InvalidError(f"{param!r} {said}", param)
        if isinstance(prompt[0], int):
            self.pieces.append(_token_bytes(prompt, param))
            return
        self._take(prompt, param)
        for index, item in enumerate(prompt):
            if isinstance(item, str):
                self.pieces += (item.encode(), b"\x1e")
            elif isinstance(item, list) and item:
                self.pieces.append(_token_bytes(item, f"{param}[{index}]"))
            elif isinstance(item, dict):
                self.pieces.append(_dump(item, f"{param}[{index}]"))
            else:
                raise _InvalidError(
                    f"'{param}[{index}]' must be a string or a list of token ids, got {kind_of(item)}", param
                )

    def _take(self, items: Sequence[object], param: str) -> None:
        """Count the items of a list that is gone through one by one."""
        self._count += len(items)
        if self._count > ITEM_LIMIT:
            raise _InvalidError(f"{param!r} has more than {ITEM_LIMIT} items", param)

    def _items(self, body: JsonObject, param: str) -> None:
        value = body.get(param)
        if isinstance(value, str):
            self.pieces.append(value.encode())
            return
        self._messages(_filled_list(body, param), param)

    def _messages(self, messages: Sequence[object], param: str) -> None:
        self._take(messages, param)
        pieces = self.pieces
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                if isinstance(message, str):
                    pieces += (message.encode(), b"\x1e")
                    continue
                raise _InvalidError(f"'{param}[{index}]' must be an object, got {kind_of(message)}", param)
            role, content = message.get("role"), message.get("content")
            if role is not None and not isinstance(role, str):
                raise _InvalidError(f"'{param}[{index}].role' must be a string, got {kind_of(role)}", param)
            pieces += ((role or "").encode(), b"\x1f")
            if isinstance(content, str):
                pieces.append(content.encode())
            elif isinstance(content, list):
                self._parts(content, f"{param}[{index}].content", param)
            elif content is not None:
                raise _InvalidError(
                    f"'{param}[{index}].content' must be a string or a list, got {kind_of(content)}", param
                )
            if len(message) > 2 or content is None:
                rest = {key: value for key, value in message.items() if key not in ("role", "content")}
                if rest:
                    pieces.append(_dump(rest, f"{param}[{index}]"))
            pieces.append(b"\x1e")

    def _parts(self, parts: Sequence[object], place: str, param: str) -> None:
        self._take(parts, param)
        for index, part in enumerate(parts):
            if isinstance(part, str):
                self.pieces.append(part.encode())
                continue
            if not isinstance(part, dict):
                raise _InvalidError(f"'{place}[{index}]' must be an object, got {kind_of(part)}", param)
            text = part.get("text")
            if isinstance(text, str):
                self.pieces.append(text.encode())
            else:
                kind = part.get("type")
                if isinstance(kind, str) and kind != "text":
                    self.has_media = True
                # One item, one fixed-size hash: the same image matches, a different one does not.
                self.pieces.append(xxhash.xxh3_128_digest(_dump(part, f"{place}[{index}]")))


def _filled_list(body: JsonObject, param: str) -> Sequence[object]:
    value = body.get(param)
    if not isinstance(value, list) or not value:
        said = "is missing" if param not in body else "must be a non-empty list"
        raise _InvalidError(f"{param!r} {said}", param)
    return value


def _token_bytes(ids: Sequence[object], param: str) -> bytes:
    try:
        return array("I", cast("Sequence[int]", ids)).tobytes()  # the array checks each item itself
    except (TypeError, OverflowError):
        raise _InvalidError(f"{param!r} must hold token ids only", param.partition("[")[0]) from None


def _dump(value: object, place: str) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # nested deeper than any real prompt
        raise _InvalidError(f"{place!r} is nested too deeply", place.partition("[")[0]) from None
