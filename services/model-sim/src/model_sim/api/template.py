"""The chat template: messages and tools as one text, as Qwen3's ChatML template renders them. Pure.

Tools stand behind the system prompt, each as its JSON; calls and results of tools are rendered, and the reasoning of
answers after the last user message. What vLLM leaves out before it renders is left out here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from model_sim.api import fields
from model_sim.api.fields import Body

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_TOOLS = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> "
    'XML tags:\n<tool_call>\n{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)


def template(messages: Sequence[Any], tools: Sequence[Any] | None, body: Body) -> tuple[str, str]:
    """The prompt, and the last message's text (what `echo` answers)."""
    parts = []
    rest = list(messages)
    system, last = "", ""
    if rest and isinstance(rest[0], dict) and rest[0].get("role") in ("system", "developer"):
        system = last = _text(rest[0], "messages[0]", shows_reasoning=False)[1]
        rest = rest[1:]
    if tools:
        listed = "\n".join(orjson.dumps(_declared(tool)).decode() for tool in tools)
        shown = _TOOLS.format(listed)
        system = f"{system}\n\n{shown}" if system else shown
    if system:
        parts.append(f"<|im_start|>system\n{system}<|im_end|>\n")
    first = len(messages) - len(rest)
    users = [at for at, message in enumerate(rest) if isinstance(message, dict) and message.get("role") == "user"]
    last_user = users[-1] if users else -1
    for position, message in enumerate(rest):
        role, text = _text(message, f"messages[{position + first}]", shows_reasoning=position > last_user)
        last = text
        if role in ("tool", "function"):
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        parts.append(f"<|im_start|>{role}\n{text}<|im_end|>\n")
    if fields.flag(body, "add_generation_prompt", default=True):
        parts.append("<|im_start|>assistant\n")
    return "".join(parts), last


def _declared(tool: object) -> object:
    """A tool of any API in the form of chat completions."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool
    schema = function.get("parameters", function.get("input_schema"))
    shown = {"name": function.get("name"), "description": function.get("description"), "parameters": schema}
    return {"type": "function", "function": shown}


def _text(message: object, place: str, *, shows_reasoning: bool) -> tuple[str, str]:
    """Role and text of one message; a part that is not text becomes a marker."""
    if not isinstance(message, dict):
        raise fields.wrong(place, "an object", message)
    role = message.get("role")
    if role not in ROLES:
        raise fields.wrong(f"{place}.role", f"one of {', '.join(ROLES)}", role)
    text = content_text(message.get("content"), f"{place}.content")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if shows_reasoning and role == "assistant" and isinstance(reasoning, str):
        text = f"<think>\n{reasoning}\n</think>\n\n{text}"
    calls_made = message.get("tool_calls")
    if isinstance(calls_made, list):
        text += "".join(_tool_call_text(call, f"{place}.tool_calls") for call in calls_made)
    return role, text


def content_text(content: object, place: str) -> str:
    """Text of a message's content: a string, or parts of which only text counts in full."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise fields.wrong(place, "a string or a list of parts", content)
    texts = []
    for position, part in enumerate(content):
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise fields.wrong(f"{place}[{position}]", "an object with a type", part)
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part["type"] in ("text", "input_text", "output_text"):
            raise fields.wrong(f"{place}[{position}].text", "a string", part.get("text"))
        else:
            texts.append(f"<{part['type']}>")
    return "\n".join(texts)


def _tool_call_text(call: object, place: str) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise fields.wrong(place, "objects with a function", call)
    return f'\n<tool_call>\n{{"name": "{function.get("name")}", "arguments": {_arguments(function)}}}\n</tool_call>'


def _arguments(function: Mapping[str, Any]) -> str:
    """Arguments as the template writes them: vLLM reads their JSON, and the template writes it anew."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return arguments
    return orjson.dumps(arguments).decode()
