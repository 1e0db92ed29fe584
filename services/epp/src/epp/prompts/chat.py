"""`/v1/chat/completions`: the messages of a request as its template renders them. Pure."""

from collections.abc import Mapping

from epp.prompts.conversation import SYSTEM_ROLES, Part, Shape, write_conversation
from epp.prompts.invalid import Place, wrong_kind
from epp.prompts.parts import write_content
from epp.prompts.writer import JsonObject, Writer, check_role, filled_list

_PARTS: Mapping[str, Part] = {"system": "system", "developer": "system", "user": "user"}
_PLAIN_ROLES = ("user", "assistant", "tool")
_FLAGS = ("add_generation_prompt", "continue_final_message", "add_special_tokens")


def write_chat(to: Writer, body: JsonObject) -> None:
    """The whole request."""
    if not body.keys().isdisjoint(_FLAGS):
        _check_flags(body)
    messages = filled_list(body, "messages")
    to.take(messages, "messages")
    write_conversation(to, body, messages, _SHAPE, body.get("reasoning_effort"))


def _check_flags(body: JsonObject) -> None:
    for flag in _FLAGS:
        value = body.get(flag)
        if value is not None and not isinstance(value, bool):
            raise wrong_kind((flag,), "true or false", value)


def part_of(message: object) -> Part:
    """Who speaks."""
    if not isinstance(message, dict):
        return "user" if isinstance(message, str) else "other"
    role = message.get("role")
    return _PARTS.get(role, "other") if isinstance(role, str) else "other"


def write_message(to: Writer, message: JsonObject, place: Place) -> None:
    """One message: reasoning, content, tool calls."""
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and isinstance(content, str) and role in _PLAIN_ROLES:  # nearly all messages
        to.turn(role)
        to.text(content)
        return
    role = check_role(role, place)
    is_system = role in SYSTEM_ROLES
    to.turn("system" if is_system else role)
    if len(message) > 2:
        _write_before(to, message)
    if isinstance(content, str):
        (to.system_text if is_system else to.text)(content)
    elif content is not None:
        write_content(to, content, (*place, "content"), is_system=is_system)
    if len(message) > 2:
        _write_calls(to, message, place)


def _write_before(to: Writer, message: JsonObject) -> None:
    if to.shows_reasoning:
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(reasoning, str):
            to.field("reasoning", reasoning)
    if isinstance(name := message.get("name"), str):
        to.field("name", name)
    if to.family.has_call_ids and isinstance(call_id := message.get("tool_call_id"), str):
        to.field("id", call_id)


def _write_calls(to: Writer, message: JsonObject, place: Place) -> None:
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        to.take(calls, place[0])
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(call, dict) and isinstance(function, dict):
                to.call(function.get("name"), function.get("arguments"), call.get("id"), place)
            else:
                to.pieces.append(to.unknown(call, place))
    if isinstance(older := message.get("function_call"), dict):
        to.call(older.get("name"), older.get("arguments"), None, place)


_SHAPE = Shape("messages", part_of, write_message)
