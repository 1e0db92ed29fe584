"""`/v1/messages`: Anthropic's shape, with its named events when streamed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from model_sim.api import calls, chat, fields, sse
from model_sim.api.calls import Call, Choice, ServedModel, Tools
from model_sim.api.fields import Body
from model_sim.api.template import content_text, template
from model_sim.text.tokenizer import Tokenizer

# vLLM drops a block of the system prompt that begins like this: its value changes with every request.
_BILLING = "x-anthropic-billing-header"
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def parse(body: Body, model: ServedModel, tokenizer: Tokenizer) -> Call:
    """Check everything and turn content blocks into a chat."""
    fields.required(body, "max_tokens")
    messages, tools = prompt_messages(body), _tools(body)
    stops = fields.sequence(body, "stop_sequences")
    parameters = calls.sampling({**body, "stop": stops, "n": None}, max_tokens_names=("max_tokens",))
    prompt, last = template(messages, fields.sequence(body, "tools"), {})
    return Call(
        model=model,
        prompts=(tokenizer.encode(prompt),),
        echoes=(last,),
        sampling=parameters,
        stream=fields.flag(body, "stream"),
        tools=tools,
        salt=calls.cache_salt(body),
        kv_transfer=calls.kv_transfer(body),
    )


def prompt_messages(body: Body) -> list[dict[str, Any]]:
    """The conversation as chat messages, as vLLM converts it."""
    given = fields.required(body, "messages")
    if not isinstance(given, list) or not given:
        raise fields.wrong("messages", "a list of at least one message", given)
    messages: list[dict[str, Any]] = []
    system = _system(body.get("system"))
    if system:
        messages.append({"role": "system", "content": system})
    for position, message in enumerate(given):
        if not isinstance(message, dict):
            raise fields.wrong(f"messages[{position}]", "an object", message)
        content, role = message.get("content"), message.get("role")
        if not isinstance(content, list):
            messages.append({"role": role, "content": content})
        elif role == "assistant":
            messages.append(_answer(content))
        else:
            messages += _input(role, content)
    return messages


def _system(system: object) -> str:
    """The system prompt without the block that changes with every request of Claude Code."""
    if isinstance(system, list):
        return "".join(content_text([block], "system") for block in system if not _text_of(block).startswith(_BILLING))
    return content_text(system, "system")


def _text_of(block: object) -> str:
    text = block.get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else ""


def _answer(blocks: Sequence[object]) -> dict[str, Any]:
    """Reasoning, text and tool calls of one answer."""
    content: list[object] = []
    message: dict[str, Any] = {"role": "assistant", "content": content}
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(block, dict) and kind == "thinking":
            message["reasoning"] = message.get("reasoning", "") + str(block.get("thinking") or "")
        elif isinstance(block, dict) and kind == "tool_use":
            function = {"name": block.get("name"), "arguments": block.get("input")}
            message.setdefault("tool_calls", []).append({"function": function})
        elif kind != "redacted_thinking":
            content.append(block)
    return message


def _input(role: object, blocks: Sequence[object]) -> list[dict[str, Any]]:
    """Results of tools, each a message of its own, then what else the message holds."""
    messages: list[dict[str, Any]] = []
    rest: list[object] = []
    for block in blocks:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            text = content_text(block.get("content"), "tool_result.content")
            messages.append({"role": "tool", "content": text})
        else:
            rest.append(block)
    if rest or not messages:
        messages.append({"role": role, "content": rest})
    return messages


def _tools(body: Body) -> Tools | None:
    listed = fields.sequence(body, "tools")
    if not listed:
        return None
    wanted = fields.mapping(body, "tool_choice") or {"type": "auto"}
    choice: object
    match wanted.get("type"):
        case "auto" | "none" as choice:
            pass
        case "any":
            choice = "required"
        case "tool":
            choice = {"name": wanted.get("name")}
        case other:
            raise fields.wrong("tool_choice.type", "auto, any, tool or none", other)
    parallel = not fields.flag(wanted, "disable_parallel_tool_use")
    tools = chat.parse_tools({"tools": listed, "tool_choice": choice, "parallel_tool_calls": parallel})
    return tools and replace(tools, id_prefix="toolu_")


def count_tokens(body: Body, tokenizer: Tokenizer) -> int:
    """`/v1/messages/count_tokens`."""
    _tools(body)  # checked, and rendered from the body
    prompt, _ = template(prompt_messages(body), fields.sequence(body, "tools"), {})
    return len(tokenizer.encode(prompt))


@dataclass(slots=True)
class MessageRenderer:
    """Bytes of a message. Holds the content block being streamed."""

    call: Call
    id: str
    created: int
    tokenizer: Tokenizer
    _open_block: int = -1

    def opening(self, choices: Sequence[Choice]) -> bytes:
        message = self._message(choices[0], [], None, None)
        return sse.event("message_start", {"type": "message_start", "message": message})

    def frames(self, choice: Choice, start: int, end: int) -> bytes:
        """Events for the tokens `start` to `end`."""
        answer = choice.answer
        parts = []
        for index in range(start, end):
            block = answer.call_of_token[index] if answer.tool_calls else 0
            if block != self._open_block:
                parts.append(self._close() + self._open(choice, block))
            piece = answer.pieces[index]
            if piece:
                delta = (
                    {"type": "input_json_delta", "partial_json": piece}
                    if answer.tool_calls
                    else {"type": "text_delta", "text": piece}
                )
                value = {"type": "content_block_delta", "index": block, "delta": delta}
                parts.append(sse.event("content_block_delta", value))
        return b"".join(parts)

    def _open(self, choice: Choice, block: int) -> bytes:
        self._open_block = block
        content: dict[str, Any] = {"type": "text", "text": ""}
        if choice.answer.tool_calls:
            call = choice.answer.tool_calls[block]
            content = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        return sse.event(
            "content_block_start", {"type": "content_block_start", "index": block, "content_block": content}
        )

    def _close(self) -> bytes:
        if self._open_block < 0:
            return b""
        return sse.event("content_block_stop", {"type": "content_block_stop", "index": self._open_block})

    def ending(self, choices: Sequence[Choice]) -> bytes:
        choice = choices[0]
        reason, sequence = _stop(choice)
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": sequence},
            "usage": self._usage(choice),
        }
        return self._close() + sse.event("message_delta", delta) + sse.event("message_stop", {"type": "message_stop"})

    def body(self, choices: Sequence[Choice], transfer: dict[str, Any] | None) -> bytes:
        choice = choices[0]
        answer = choice.answer
        content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
        if answer.tool_calls:
            content = [
                {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
                for call in answer.tool_calls
            ]
        message = self._message(choice, content, *_stop(choice))
        if transfer is not None:
            message["kv_transfer_params"] = transfer
        return orjson.dumps(message)

    def _message(
        self, choice: Choice, content: list[dict[str, Any]], reason: str | None, sequence: str | None
    ) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": content,
            "model": self.call.model.name,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": self._usage(choice),
        }

    def _usage(self, choice: Choice) -> dict[str, Any]:
        return {
            "input_tokens": choice.prompt_tokens - choice.cached_tokens,  # the three counts make up the prompt
            "output_tokens": choice.ready,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": choice.cached_tokens,
        }


def _stop(choice: Choice) -> tuple[str, str | None]:
    answer = choice.answer
    if isinstance(answer.stop_reason, str):
        return "stop_sequence", answer.stop_reason
    return _STOP_REASONS.get(answer.finish_reason, "end_turn"), None
