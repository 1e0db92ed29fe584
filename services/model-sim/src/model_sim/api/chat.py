"""`/v1/chat/completions`: parsing, and the two answer shapes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from model_sim.api import calls, fields, logprobs, sse
from model_sim.api.calls import Call, Choice, ServedModel, Tool, Tools
from model_sim.api.errors import ApiError
from model_sim.api.fields import Body
from model_sim.api.template import template
from model_sim.text.tokenizer import Tokenizer


def parse(body: Body, model: ServedModel, tokenizer: Tokenizer) -> Call:
    """Check everything, render the template and tokenise."""
    messages = fields.required(body, "messages")
    if not isinstance(messages, list) or not messages:
        raise fields.wrong("messages", "a list of at least one message", messages)
    stream, include_usage, continuous = calls.stream_options(body, model)
    parameters = replace(calls.sampling(body), logprobs=_logprobs(body))
    tools = parse_tools(body)
    salt, transfer = calls.cache_salt(body), calls.kv_transfer(body)
    prompt, last = template(messages, fields.sequence(body, "tools"), body)
    return Call(
        model=model,
        prompts=(tokenizer.encode(prompt),),
        echoes=(last,),
        sampling=parameters,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=continuous,
        tools=tools,
        salt=salt,
        kv_transfer=transfer,
    )


def _logprobs(body: Body) -> int | None:
    wanted = fields.flag(body, "logprobs")
    top = calls.logprobs(body, "top_logprobs")
    if top and not wanted:
        raise ApiError("when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs")
    return (top or 0) if wanted else None


def parse_tools(body: Body) -> Tools | None:
    """The tools an answer may call under `tool_choice`."""
    listed = fields.sequence(body, "tools")
    choice = body.get("tool_choice")
    if not listed:
        if choice not in (None, "none", "auto"):
            raise ApiError("When using `tool_choice`, `tools` must be set.", param="tool_choice")
        return None
    tools = tuple(_tool(entry, f"tools[{position}]") for position, entry in enumerate(listed))
    parallel = fields.flag(body, "parallel_tool_calls", default=True)
    if choice == "none":
        return None
    if choice in (None, "auto"):
        return Tools(tools, forced=False, parallel=parallel)
    if choice == "required":
        return Tools(tools, forced=True, parallel=parallel)
    function = choice.get("function", choice) if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    named = tuple(tool for tool in tools if tool.name == name)
    if not named:
        raise fields.wrong("tool_choice", "none, auto, required or one of the tools", choice)
    return Tools(named, forced=True, parallel=False)


def _tool(entry: object, place: str) -> Tool:
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise fields.wrong(place, "an object with a function that has a name", entry)
    return Tool(name, function.get("parameters", function.get("input_schema")))


@dataclass(slots=True)
class ChatRenderer:
    """Bytes of a chat answer, streamed or whole."""

    call: Call
    id: str
    created: int
    tokenizer: Tokenizer
    _prefix: bytes = b""

    def __post_init__(self) -> None:
        head = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.call.model.name,
        }
        self._prefix = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['

    def opening(self, choices: Sequence[Choice]) -> bytes:  # noqa: ARG002 - the role comes with the first token
        return b""

    def frames(self, choice: Choice, start: int, end: int) -> bytes:
        """Events for the tokens `start` to `end` of a choice."""
        frames = []
        if start == 0:
            frames.append(self._event(choice, 0, {"role": "assistant", "content": ""}, None))
        answer = choice.answer
        last = len(answer.tokens) - 1
        plain = not answer.tool_calls and self.call.sampling.logprobs is None and not self.call.continuous_usage
        for index in range(start, end):
            piece = answer.pieces[index]
            if plain and index != last:
                if piece:
                    frames.append(self._plain(choice.index, piece))
            elif index == last or piece or answer.tool_calls or self.call.sampling.logprobs is not None:
                delta = self._tool_delta(choice, index) if answer.tool_calls else {"content": piece}
                if delta is not None or index == last:
                    frames.append(self._event(choice, index, delta or {}, answer if index == last else None))
        return b"".join(frames)

    def _plain(self, index: int, piece: str) -> bytes:
        """The commonest event by far, without building the object."""
        return b'%s{"index":%d,"delta":{"content":%s},"logprobs":null,"finish_reason":null}]}\n\n' % (
            self._prefix,
            index,
            orjson.dumps(piece),
        )

    def _event(self, choice: Choice, index: int, delta: dict[str, Any], final: Any) -> bytes:
        entry: dict[str, Any] = {"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": None}
        if self.call.sampling.logprobs is not None and "content" in delta and "role" not in delta:
            entry["logprobs"] = self._logprobs(choice, index, index + 1)
        if final is not None:
            entry["finish_reason"] = final.finish_reason
            entry["stop_reason"] = final.stop_reason
        tail = b"]}\n\n"
        if self.call.continuous_usage:
            count = index + ("role" not in delta)
            usage = {
                "prompt_tokens": choice.prompt_tokens,
                "total_tokens": choice.prompt_tokens + count,
                "completion_tokens": count,
            }
            tail = b'],"usage":' + orjson.dumps(usage) + b"}\n\n"
        return self._prefix + orjson.dumps(entry) + tail

    def _tool_delta(self, choice: Choice, index: int) -> dict[str, Any] | None:
        answer = choice.answer
        number = answer.call_of_token[index]
        call = answer.tool_calls[number]
        if index == 0 or answer.call_of_token[index - 1] != number:
            function = {"name": call.name, "arguments": ""}
            return {"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]}
        if not answer.pieces[index]:
            return None
        return {"tool_calls": [{"index": number, "function": {"arguments": answer.pieces[index]}}]}

    def _logprobs(self, choice: Choice, start: int, end: int) -> dict[str, Any]:
        answer, count = choice.answer, self.call.sampling.logprobs or 0
        return logprobs.chat(answer.tokens[start:end], answer.pieces[start:end], count, self.tokenizer)

    def ending(self, choices: Sequence[Choice]) -> bytes:
        """The usage event, if requested, and the end mark."""
        return sse.ending(self._prefix, calls.usage(self.call, choices) if self.call.include_usage else None)

    def body(self, choices: Sequence[Choice], transfer: dict[str, Any] | None) -> bytes:
        """The whole answer as one JSON object."""
        return orjson.dumps(
            {
                "id": self.id,
                "object": "chat.completion",
                "created": self.created,
                "model": self.call.model.name,
                "choices": [self._choice(choice) for choice in choices],
                "service_tier": None,
                "system_fingerprint": None,
                "usage": calls.usage(self.call, choices),
                "prompt_logprobs": None,
                "kv_transfer_params": transfer,
            }
        )

    def _choice(self, choice: Choice) -> dict[str, Any]:
        answer = choice.answer
        tool_calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
        with_logprobs = self.call.sampling.logprobs is not None
        return {
            "index": choice.index,
            "message": {
                "role": "assistant",
                "content": None if tool_calls else answer.text,
                "refusal": None,
                "annotations": None,
                "audio": None,
                "function_call": None,
                "tool_calls": tool_calls,
                "reasoning_content": None,
            },
            "logprobs": self._logprobs(choice, 0, len(answer.tokens)) if with_logprobs else None,
            "finish_reason": answer.finish_reason,
            "stop_reason": answer.stop_reason,
        }
