"""A call: the common form of every generating request, with its sampling parameters and its usage. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, ulp
from typing import Any

from model_sim.api import fields
from model_sim.api.errors import ApiError
from model_sim.api.fields import Body
from model_sim.text.answers import Answer, Sampling
from model_sim.text.tokenizer import Tokenizer

MAX_CHOICES = 64
"""`n` times the number of prompts: more would be a client's mistake or an attack."""
MAX_LOGPROBS = 20
"""vLLM's default for `--max-logprobs`."""
MAX_STOP_STRINGS = 64
"""Each one is searched for in the whole answer."""


_RANGES = (
    ("presence_penalty", -2.0, 2.0, "in [-2, 2]"),
    ("frequency_penalty", -2.0, 2.0, "in [-2, 2]"),
    ("temperature", 0.0, inf, "non-negative"),
    ("top_p", ulp(0.0), 1.0, "in (0, 1]"),
    ("min_p", 0.0, 1.0, "in [0, 1]"),
)
_NAMED_AGAIN = ("temperature", "top_p", "max_tokens")
"""Parameters whose refusal vLLM ends with name and value in parentheses."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that a request names: the base model or an adapter."""

    name: str
    adapter: str | None
    max_model_len: int
    usage_in_streams: bool = False
    prompt_tokens_details: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    parameters: object


@dataclass(frozen=True, slots=True)
class Tools:
    """Tools the answer may (`auto`) or must call."""

    tools: tuple[Tool, ...]
    forced: bool
    parallel: bool = True
    id_prefix: str = "chatcmpl-tool-"


@dataclass(frozen=True, slots=True)
class KvTransfer:
    """`kv_transfer_params`: one leg of disaggregated serving."""

    remote_prefill: bool
    remote_decode: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One request, validated: prompts as token ids, and how to answer them."""

    model: ServedModel
    prompts: tuple[Sequence[int], ...]
    echoes: tuple[str | None, ...]
    """For each prompt, what the mode `echo` answers; None: the prompt's tokens as text."""
    sampling: Sampling
    default_max_tokens: int | None = None
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    echo_prompt: bool = False
    tools: Tools | None = None
    salt: str = ""
    kv_transfer: KvTransfer | None = None
    truncate_max_tokens: bool = False
    """Cut max_tokens to the room in the context instead of refusing."""


@dataclass(slots=True)
class Choice:
    """One answer under way: its prompt, its index, and its progress."""

    index: int
    prompt: int
    request_id: str
    answer: Answer
    prompt_tokens: int
    ready: int = 0
    sent: int = 0
    cached_tokens: int = 0
    finished: bool = False

    def cut(self, length: int, reason: str) -> None:
        """End earlier than planned."""
        answer = self.answer
        self.answer = Answer(
            answer.tokens[:length],
            answer.pieces[:length],
            reason,
            tool_calls=answer.tool_calls,
            call_of_token=answer.call_of_token[:length],
        )


def sampling(body: Body, *, max_tokens_names: Sequence[str] = ("max_completion_tokens", "max_tokens")) -> Sampling:
    """Read and check sampling parameters; those that shape no simulated text are only checked."""
    n = fields.integer(body, "n")
    _check_range("n", n, 1, inf, "at least 1")
    for name, low, high, rule in _RANGES:
        _check_range(name, fields.number(body, name), low, high, rule)
    top_k = fields.integer(body, "top_k")
    _check_range("top_k", top_k, -1, inf, "0 (disable), or at least 1")
    if n is not None and n > MAX_CHOICES:
        raise ApiError(f"n must be at most {MAX_CHOICES}, got {n}.", param="n")
    requested = None
    for name in max_tokens_names:
        value = fields.integer(body, name)
        _check_range("max_tokens", value, 1, inf, "at least 1")
        requested = value if requested is None else requested
    least = fields.integer(body, "min_tokens") or 0
    _check_range("min_tokens", least, 0, inf, "greater than or equal to 0")
    if requested is not None and least > requested:
        raise ApiError(
            f"min_tokens must be less than or equal to max_tokens={requested}, got {least}.", param="min_tokens"
        )
    stop = fields.texts(body, "stop")
    if "" in stop:
        raise ApiError("stop cannot contain an empty string.", param="stop")
    if len(stop) > MAX_STOP_STRINGS:
        raise ApiError(f"stop: expected at most {MAX_STOP_STRINGS} strings, got {len(stop)}", param="stop")
    stop_ids = fields.sequence(body, "stop_token_ids") or []
    return Sampling(
        max_tokens=0,
        min_tokens=least,
        ignore_eos=fields.flag(body, "ignore_eos"),
        stop=stop,
        stop_token_ids=frozenset(fields.token_ids("stop_token_ids", stop_ids)),
        include_stop=fields.flag(body, "include_stop_str_in_output"),
        seed=fields.integer(body, "seed"),
        n=n or 1,
        schema=response_schema(body),
        requested_max_tokens=requested,
    )


def logprobs(body: Body, name: str) -> int | None:
    """How many alternatives to list for each token; in a refusal vLLM calls the field `logprobs` either way."""
    count = fields.integer(body, name, minimum=0)
    if count is not None and count > MAX_LOGPROBS:
        raise ApiError(
            f"Requested sample logprobs of {count}, which is greater than max allowed: {MAX_LOGPROBS} "
            f"(parameter=logprobs, value={count})",
            param="logprobs",
        )
    return count


def _check_range(name: str, value: float | None, low: float, high: float, rule: str) -> None:
    """Refuse a value out of range, in vLLM's words."""
    if value is None or low <= value <= high:
        return
    named = f" (parameter={name}, value={value})" if name in _NAMED_AGAIN else ""
    raise ApiError(f"{name} must be {rule}, got {value}.{named}", param=name)


def response_schema(body: Body) -> Mapping[str, Any] | None:
    """The JSON schema that `response_format` or `structured_outputs` asks the answer to fit."""
    wanted = fields.mapping(body, "response_format")
    if wanted is not None:
        kind = wanted.get("type")
        if kind == "json_schema":
            inner = wanted.get("json_schema")
            schema = inner.get("schema") if isinstance(inner, dict) else None
            if not isinstance(schema, dict):
                raise fields.wrong("response_format.json_schema.schema", "an object", schema)
            return schema
        if kind == "json_object":
            return {"type": "object", "properties": {"answer": {"type": "string"}}}
        if kind not in ("text", "structural_tag"):
            raise fields.wrong("response_format.type", "text, json_object or json_schema", kind)
    structured = fields.mapping(body, "structured_outputs") or {}
    schema = structured.get("json")
    return schema if isinstance(schema, dict) else None


def stream_options(body: Body, model: ServedModel) -> tuple[bool, bool, bool]:
    """`stream`, whether to report usage at its end, and whether in every chunk."""
    stream = fields.flag(body, "stream")
    options = fields.mapping(body, "stream_options")
    if options is not None and not stream:
        raise ApiError("Stream options can only be defined when `stream=True`.", param="stream_options")
    options = options or {}
    include = fields.flag(options, "include_usage") or model.usage_in_streams
    return stream, include, include and fields.flag(options, "continuous_usage_stats")


def kv_transfer(body: Body) -> KvTransfer | None:
    params = fields.mapping(body, "kv_transfer_params")
    if params is None:
        return None
    return KvTransfer(
        remote_prefill=fields.flag(params, "do_remote_prefill"),
        remote_decode=fields.flag(params, "do_remote_decode"),
    )


def cache_salt(body: Body) -> str:
    salt = fields.text(body, "cache_salt")
    if salt == "":
        raise ApiError("Parameter 'cache_salt' must be a non-empty string if provided.", param="cache_salt")
    return salt or ""


def answer_limit(call: Call, prompt_tokens: int) -> int:
    """How many tokens the answer may have; refuses what the context cannot hold."""
    limit, longest = call.sampling.requested_max_tokens, call.model.max_model_len
    wanted = 0 if limit is None or call.truncate_max_tokens else limit
    if wanted > longest:
        raise ApiError(
            f"max_tokens={wanted} cannot be greater than max_model_len={longest}. Please request fewer output tokens. "
            f"(parameter=max_tokens, value={wanted})",
            param="max_tokens",
        )
    check_context(prompt_tokens, wanted, longest)
    room = longest - prompt_tokens
    _check_range("max_tokens", room, 1, inf, "at least 1")
    if limit is None:
        return min(room, call.default_max_tokens or room)
    return min(limit, room)


def check_context(prompt_tokens: int, wanted: int, longest: int) -> None:
    """Refuse a prompt that leaves no room for the requested tokens, in vLLM's words."""
    total = prompt_tokens + wanted
    if total > longest:
        raise ApiError(
            f"This model's maximum context length is {longest} tokens. However, you requested {wanted} output tokens "
            f"and your prompt contains {prompt_tokens} input tokens, for a total of {total} tokens. Please reduce the "
            f"length of the input prompt or the number of requested output tokens. "
            f"(parameter=input_tokens, value={prompt_tokens})",
            param="input_tokens",
        )


def usage(call: Call, choices: Sequence[Choice]) -> dict[str, Any]:
    """Tokens of all choices; each prompt counted once."""
    prompts = {choice.prompt: choice.prompt_tokens for choice in choices}
    cached = {choice.prompt: choice.cached_tokens for choice in reversed(choices)}
    prompt_tokens, completion_tokens = sum(prompts.values()), sum(choice.ready for choice in choices)
    details = {"cached_tokens": sum(cached.values())} if call.model.prompt_tokens_details else None
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": details,
    }


def transfer_params(call: Call, choice: Choice, host: str, port: int) -> dict[str, Any] | None:
    """The parameters that the prefill leg returns for the decode leg."""
    if call.kv_transfer is None or not call.kv_transfer.remote_decode:
        return None
    blocks = -(-choice.prompt_tokens // 16)
    return {
        "do_remote_prefill": True,
        "do_remote_decode": False,
        "remote_engine_id": f"{host}:{port}",
        "remote_block_ids": list(range(blocks)),
        "remote_host": host,
        "remote_port": port,
        "remote_request_id": choice.request_id,
        "tp_size": 1,
    }


def prompt_of(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    return "".join(tokenizer.pieces(tokens))
