"""`/v1/completions`: prompts as text or token ids, one or many. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from model_sim.api import calls, fields, logprobs, sse
from model_sim.api.calls import Call, Choice, ServedModel
from model_sim.api.errors import ApiError
from model_sim.api.fields import Body
from model_sim.text.tokenizer import Tokenizer

DEFAULT_MAX_TOKENS = 16


def parse(body: Body, model: ServedModel, tokenizer: Tokenizer) -> Call:
    """Check everything and tokenise the prompts."""
    prompts = parse_prompts(fields.required(body, "prompt"), tokenizer)
    echo = fields.flag(body, "echo")
    stream, include_usage, continuous = calls.stream_options(body, model)
    count = calls.logprobs(body, "logprobs")
    parameters = replace(calls.sampling(body, max_tokens_names=("max_tokens",)), logprobs=count)
    if parameters.n * len(prompts) > calls.MAX_CHOICES:
        raise ApiError(f"n times the number of prompts must be at most {calls.MAX_CHOICES}.", param="prompt")
    if fields.text(body, "suffix"):
        raise ApiError("suffix is not currently supported", param="suffix")
    return Call(
        model=model,
        prompts=tuple(tokens for tokens, _ in prompts),
        echoes=tuple(calls.prompt_of(tokenizer, ids) if text is None and echo else text for ids, text in prompts),
        sampling=parameters,
        default_max_tokens=None if "max_tokens" in body else DEFAULT_MAX_TOKENS,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=continuous,
        echo_prompt=echo,
        salt=calls.cache_salt(body),
        kv_transfer=calls.kv_transfer(body),
    )


def parse_prompts(prompt: object, tokenizer: Tokenizer) -> list[tuple[Sequence[int], str | None]]:
    """Token ids of each prompt, and its text if it came as text: strings or lists of token ids, one or many."""
    if isinstance(prompt, str):
        entries: list[Any] = [prompt]
    elif isinstance(prompt, list) and prompt:
        entries = [prompt] if isinstance(prompt[0], int) else prompt
    else:
        raise fields.wrong("prompt", "a non-empty string or list", prompt)
    parsed: list[tuple[Sequence[int], str | None]] = []
    if len(entries) > calls.MAX_CHOICES:
        raise ApiError(f"prompt: expected at most {calls.MAX_CHOICES} prompts, got {len(entries)}.", param="prompt")
    for position, entry in enumerate(entries):
        place = "prompt" if entries is not prompt else f"prompt[{position}]"
        text: str | None = None
        if isinstance(entry, str):
            tokens, text = tokenizer.encode(entry), entry
        elif isinstance(entry, list):
            tokens = fields.token_ids(place, entry)
        else:
            raise fields.wrong(place, "a string or a list of token ids", entry)
        if not tokens:
            raise ApiError(f"{place}: the decoder prompt cannot be empty", param="prompt")
        parsed.append((tokens, text))
    return parsed


@dataclass(slots=True)
class CompletionRenderer:
    """Bytes of a completion, streamed or whole."""

    call: Call
    id: str
    created: int
    tokenizer: Tokenizer
    _prefix: bytes = b""

    def __post_init__(self) -> None:
        head = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.call.model.name}
        self._prefix = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['

    def opening(self, choices: Sequence[Choice]) -> bytes:  # noqa: ARG002 - nothing precedes the first token
        return b""

    def frames(self, choice: Choice, start: int, end: int) -> bytes:
        """Events for the tokens `start` to `end` of a choice."""
        answer = choice.answer
        last = len(answer.tokens) - 1
        plain = self.call.sampling.logprobs is None and not self.call.continuous_usage
        frames = []
        for index in range(start, end):
            piece = answer.pieces[index]
            if index == 0 and self.call.echo_prompt:
                piece = (self.call.echoes[choice.prompt] or "") + piece
            if index == last or not plain:
                frames.append(self._event(choice, index, piece))
            elif piece:
                frames.append(
                    b'%s{"index":%d,"text":%s,"logprobs":null,"finish_reason":null,"stop_reason":null}]}\n\n'
                    % (self._prefix, choice.index, orjson.dumps(piece))
                )
        return b"".join(frames)

    def _event(self, choice: Choice, index: int, piece: str) -> bytes:
        answer = choice.answer
        is_last = index == len(answer.tokens) - 1
        entry = {
            "index": choice.index,
            "text": piece,
            "logprobs": self._logprobs(choice, index, index + 1),
            "finish_reason": answer.finish_reason if is_last else None,
            "stop_reason": answer.stop_reason if is_last else None,
        }
        tail = b"]}\n\n"
        if self.call.continuous_usage:
            usage = {
                "prompt_tokens": choice.prompt_tokens,
                "total_tokens": choice.prompt_tokens + index + 1,
                "completion_tokens": index + 1,
            }
            tail = b'],"usage":' + orjson.dumps(usage) + b"}\n\n"
        return self._prefix + orjson.dumps(entry) + tail

    def _logprobs(self, choice: Choice, start: int, end: int) -> dict[str, Any] | None:
        count, answer = self.call.sampling.logprobs, choice.answer
        if count is None:
            return None
        offset = sum(map(len, answer.pieces[:start]))
        return logprobs.completion(answer.tokens[start:end], answer.pieces[start:end], count, offset, self.tokenizer)

    def ending(self, choices: Sequence[Choice]) -> bytes:
        """The usage event, if requested, and the end mark."""
        return sse.ending(self._prefix, calls.usage(self.call, choices) if self.call.include_usage else None)

    def body(self, choices: Sequence[Choice], transfer: dict[str, Any] | None) -> bytes:
        """The whole answer as one JSON object."""
        entries = [
            {
                "index": choice.index,
                "text": ((self.call.echo_prompt and self.call.echoes[choice.prompt]) or "") + choice.answer.text,
                "logprobs": self._logprobs(choice, 0, len(choice.answer.tokens)),
                "finish_reason": choice.answer.finish_reason,
                "stop_reason": choice.answer.stop_reason,
                "prompt_logprobs": None,
            }
            for choice in choices
        ]
        return orjson.dumps(
            {
                "id": self.id,
                "object": "text_completion",
                "created": self.created,
                "model": self.call.model.name,
                "choices": entries,
                "service_tier": None,
                "system_fingerprint": None,
                "usage": calls.usage(self.call, choices),
                "kv_transfer_params": transfer,
            }
        )
