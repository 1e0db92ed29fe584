"""`/v1/messages`: Anthropic's shape, written as the chat that engines make of it. Pure.

As vLLM converts it: system messages move to the front, each `tool_result` is a turn of role `tool` before the rest of
its message, `tool_use` are tool calls of the answer, `thinking` is its reasoning.
"""

from collections.abc import Mapping, Sequence

from epp.prompts.conversation import Part, Shape, write_conversation
from epp.prompts.invalid import Place, wrong_kind
from epp.prompts.parts import write_content, write_parts
from epp.prompts.writer import JsonObject, Writer, check_role, dump, filled_list


def write_messages(to: Writer, body: JsonObject) -> None:
    """The whole request."""
    messages = filled_list(body, "messages")
    to.take(messages, "messages")
    _write_system(to, body, messages)
    write_conversation(to, body, messages, _SHAPE, _effort(body))


def _effort(body: JsonObject) -> object:
    config = body.get("output_config")
    return config.get("effort") if isinstance(config, dict) else None


def _write_system(to: Writer, body: JsonObject, messages: Sequence[object]) -> None:
    """`system`, then what system messages among the messages say."""
    system = body.get("system")
    embedded = [
        message["content"]
        for message in messages
        if isinstance(message, dict) and message.get("role") == "system" and message.get("content") is not None
    ]
    if not system and not embedded:
        return
    to.mark(("system",))
    to.turn("system")
    if isinstance(system, str | list):
        write_content(to, system, ("system",), is_system=True)
    elif system:
        to.pieces.append(dump(system, ("system",)))
    for content in embedded:
        write_content(to, content, ("messages",), is_system=True)


def _part_of(message: object) -> Part:
    role = message.get("role") if isinstance(message, dict) else None
    if role != "user":
        return "other"
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) and content and all(_is_result(block) for block in content):
        return "other"
    return "user"


def _is_result(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _write_message(to: Writer, message: JsonObject, place: Place) -> None:
    role = check_role(message.get("role"), place)
    if role == "system":
        return
    content = message.get("content")
    if not isinstance(content, list):
        to.turn(role)
        if content is not None and not isinstance(content, str):
            raise wrong_kind((*place, "content"), "a string or a list", content)
        to.text(content or "")
    elif role == "assistant":
        _write_answer(to, content, place)
    else:
        _write_input(to, role, content, place)


def _write_answer(to: Writer, blocks: Sequence[object], place: Place) -> None:
    """Reasoning, text and tool calls of one answer."""
    to.turn("assistant")
    rest: list[object] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind != "thinking":
            rest.append(block)
        elif to.shows_reasoning and isinstance(block, dict) and isinstance(text := block.get("thinking"), str):
            to.field("reasoning", text)
    write_parts(to, rest, (*place, "content"))


def _write_input(to: Writer, role: str, blocks: Sequence[object], place: Place) -> None:
    """Tool results, each a turn of its own, then what else the message holds."""
    results: list[Mapping[str, object]] = []
    rest: list[object] = []
    for block in blocks:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            results.append(block)
        else:
            rest.append(block)
    for result in results:
        to.turn("tool")
        if to.family.has_call_ids and isinstance(call_id := result.get("tool_use_id"), str):
            to.field("id", call_id)
        write_parts(to, [result], (*place, "content"))
    if rest or not results:
        to.turn(role)
        write_parts(to, rest, (*place, "content"))


_SHAPE = Shape("messages", _part_of, _write_message)
