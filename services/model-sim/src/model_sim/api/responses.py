"""`/v1/responses`: OpenAI's newer shape, with named events when streamed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from model_sim.api import calls, chat, fields, sse
from model_sim.api.calls import Call, Choice, ServedModel
from model_sim.api.errors import ApiError
from model_sim.api.fields import Body
from model_sim.api.template import template
from model_sim.text.answers import ToolCall
from model_sim.text.tokenizer import Tokenizer


def parse(body: Body, model: ServedModel, tokenizer: Tokenizer) -> Call:
    """Check everything and turn input items into a chat."""
    messages = _messages(body)
    if fields.text(body, "previous_response_id"):
        raise ApiError("previous_response_id: no response is stored here", status=404, param="previous_response_id")
    parameters = calls.sampling(_sampling_body(body), max_tokens_names=("max_output_tokens",))
    tools = chat.parse_tools(body)
    prompt, last = template(messages, fields.sequence(body, "tools"), {})
    return Call(
        model=model,
        prompts=(tokenizer.encode(prompt),),
        echoes=(last,),
        sampling=replace(parameters, n=1),
        stream=fields.flag(body, "stream"),
        tools=tools and replace(tools, id_prefix="call_"),
        salt=calls.cache_salt(body),
        kv_transfer=calls.kv_transfer(body),
        truncate_max_tokens=True,
    )


def _sampling_body(body: Body) -> Body:
    """The response's text format under the name that chat uses."""
    text = fields.mapping(body, "text") or {}
    wanted = fields.mapping(text, "format")
    if wanted is None:
        return body
    if wanted.get("type") == "json_schema":
        wanted = {"type": "json_schema", "json_schema": {"schema": wanted.get("schema")}}
    return {**body, "response_format": wanted}


def _messages(body: Body) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    instructions = fields.text(body, "instructions")
    if instructions:
        messages.append({"role": "system", "content": instructions})
    given = fields.required(body, "input")
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise fields.wrong("input", "a string or a list of items", given)
    for position, item in enumerate(given):
        message = _message(item, f"input[{position}]")
        before = messages[-1] if messages else {}
        if message.get("role") == before.get("role") == "assistant" and not (message.keys() & before.keys() - {"role"}):
            before.update(message)  # reasoning, text and calls of one answer, as in vLLM
        elif message.get("role") == before.get("role") == "assistant" and message.keys() == {"role", "tool_calls"}:
            before["tool_calls"] += message["tool_calls"]
        else:
            messages.append(message)
    return messages


def _message(item: object, place: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise fields.wrong(place, "an object", item)
    match item.get("type", "message"):
        case "message":
            return {"role": item.get("role"), "content": item.get("content")}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            return {"role": "assistant", "tool_calls": [{"function": function}]}
        case "function_call_output":
            return {"role": "tool", "content": item.get("output")}
        case "reasoning":
            return {"role": "assistant", "reasoning": _reasoning(item)}
        case kind:
            raise fields.wrong(f"{place}.type", "message, function_call, function_call_output or reasoning", kind)


def _reasoning(item: Mapping[str, Any]) -> str:
    """The first text of an item of reasoning, or of its summary."""
    parts = item.get("content") or item.get("summary")
    first = parts[0] if isinstance(parts, list) and parts else None
    text = first.get("text") if isinstance(first, dict) else None
    return text if isinstance(text, str) else ""


@dataclass(slots=True)
class ResponseRenderer:
    """Bytes of a response. Holds the sequence number and the item being streamed."""

    call: Call
    id: str
    created: int
    tokenizer: Tokenizer
    _sequence: int = 0
    _open_item: int = -1

    def opening(self, choices: Sequence[Choice]) -> bytes:  # noqa: ARG002 - nothing of them is known yet
        response = self._response("in_progress", [], None)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def frames(self, choice: Choice, start: int, end: int) -> bytes:
        """Events for the tokens `start` to `end`."""
        answer = choice.answer
        parts = []
        for index in range(start, end):
            item = answer.call_of_token[index] if answer.tool_calls else 0
            if item != self._open_item:
                parts.append(self._close(choice) + self._open(choice, item))
            piece = answer.pieces[index]
            if piece:
                parts.append(self._delta(choice, item, piece))
        return b"".join(parts)

    def _open(self, choice: Choice, item: int) -> bytes:
        self._open_item = item
        answer = choice.answer
        if answer.tool_calls:
            call = answer.tool_calls[item]
            empty = _call_item(ToolCall(call.id, call.name, ""), "in_progress")
            return self._event("response.output_item.added", output_index=item, item=empty)
        added = self._event(
            "response.output_item.added", output_index=0, item=self._message(choice, "in_progress", None)
        )
        return added + self._event(
            "response.content_part.added", output_index=0, content_index=0, item_id=self._item_id(), part=_part("")
        )

    def _delta(self, choice: Choice, item: int, piece: str) -> bytes:
        if choice.answer.tool_calls:
            call = choice.answer.tool_calls[item]
            return self._event(
                "response.function_call_arguments.delta", output_index=item, item_id=_call_id(call), delta=piece
            )
        return self._event(
            "response.output_text.delta",
            output_index=0,
            content_index=0,
            item_id=self._item_id(),
            delta=piece,
            logprobs=[],
        )

    def _close(self, choice: Choice) -> bytes:
        """End the item being streamed, if any."""
        item, answer = self._open_item, choice.answer
        if item < 0:
            return b""
        if answer.tool_calls:
            call = answer.tool_calls[item]
            done = self._event(
                "response.function_call_arguments.done",
                output_index=item,
                item_id=_call_id(call),
                name=call.name,
                arguments=call.arguments,
            )
            return done + self._event(
                "response.output_item.done", output_index=item, item=_call_item(call, "completed")
            )
        text, place = answer.text, {"output_index": 0, "content_index": 0, "item_id": self._item_id()}
        return (
            self._event("response.output_text.done", **place, text=text, logprobs=[])
            + self._event("response.content_part.done", **place, part=_part(text))
            + self._event(
                "response.output_item.done", output_index=0, item=self._message(choice, self._status(choice), text)
            )
        )

    def ending(self, choices: Sequence[Choice]) -> bytes:
        choice = choices[0]
        status = self._status(choice)
        response = self._response(status, self._output(choice), choice)
        return self._close(choice) + self._event(f"response.{status}", response=response)

    def body(self, choices: Sequence[Choice], transfer: dict[str, Any] | None) -> bytes:
        choice = choices[0]
        response = self._response(self._status(choice), self._output(choice), choice)
        if transfer is not None:
            response["kv_transfer_params"] = transfer
        return orjson.dumps(response)

    def _event(self, event: str, /, **values: Any) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        return sse.event(event, {"type": event, "sequence_number": number, **values})

    def _status(self, choice: Choice) -> str:
        return "incomplete" if choice.answer.finish_reason == "length" else "completed"

    def _item_id(self) -> str:
        return f"msg_{self.id.removeprefix('resp_')}"

    def _message(self, choice: Choice, status: str, text: str | None) -> dict[str, Any]:  # noqa: ARG002
        content = [] if text is None else [_part(text)]
        return {"id": self._item_id(), "type": "message", "role": "assistant", "status": status, "content": content}

    def _output(self, choice: Choice) -> list[dict[str, Any]]:
        if choice.answer.tool_calls:
            return [_call_item(call, "completed") for call in choice.answer.tool_calls]
        return [self._message(choice, self._status(choice), choice.answer.text)]

    def _response(self, status: str, output: list[dict[str, Any]], choice: Choice | None) -> dict[str, Any]:
        usage = None
        if choice is not None:
            usage = {
                "input_tokens": choice.prompt_tokens,
                "input_tokens_details": {"cached_tokens": choice.cached_tokens},
                "output_tokens": choice.ready,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": choice.prompt_tokens + choice.ready,
            }
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": self.call.sampling.requested_max_tokens,
            "metadata": None,
            "model": self.call.model.name,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": None,
            "service_tier": "auto",
            "temperature": 1.0,
            "text": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
        }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}


def _call_id(call: ToolCall) -> str:
    return f"fc_{call.id.removeprefix('call_')}"


def _call_item(call: ToolCall, status: str) -> dict[str, Any]:
    return {
        "id": _call_id(call),
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "status": status,
    }
