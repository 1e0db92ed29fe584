"""`/v1/responses` and `/v1/conversations`: items, written as the chat that engines make of them. Pure.

As vLLM converts them: an answer's reasoning, text and tool calls are items of their own and become one turn again. Ids,
states, times and encrypted content of items make no tokens.
"""

from epp.prompts.conversation import SYSTEM_ROLES, Part, Shape, write_conversation
from epp.prompts.invalid import Place
from epp.prompts.parts import write_content
from epp.prompts.writer import JsonObject, Writer, check_role, dump, filled_list

_OUTPUTS = frozenset(("function_call_output", "custom_tool_call_output", "local_shell_call_output"))


def write_responses(to: Writer, body: JsonObject) -> None:
    """The whole request."""
    to.mark(("instructions",))
    instructions = body.get("instructions")
    if isinstance(instructions, str):
        if instructions:
            to.turn("system")
            to.system_text(instructions)
    elif instructions is not None:
        to.turn("system")
        to.pieces.append(dump(instructions, ("instructions",)))
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    _write_items(to, body, "input", effort)


def write_items(to: Writer, body: JsonObject) -> None:
    """Items of a stored conversation, which may begin without any."""
    if body.get("items") is not None:
        _write_items(to, body, "items", None)


def _write_items(to: Writer, body: JsonObject, param: str, effort: object) -> None:
    value = body.get(param)
    items = [{"role": "user", "content": value}] if isinstance(value, str) else filled_list(body, param)
    to.take(items, param)
    write_conversation(to, body, items, Shape(param, _part_of, _write_item), effort)


def _part_of(item: object) -> Part:
    if isinstance(item, str):
        return "user"
    role = item.get("role") if isinstance(item, dict) else None
    if role == "user":
        return "user"
    return "system" if isinstance(role, str) and role in SYSTEM_ROLES else "other"


def _write_item(to: Writer, item: JsonObject, place: Place) -> None:
    kind = item.get("type")
    match kind:
        case None | "message":
            _write_message(to, item, place)
        case "function_call":
            _answer(to)
            to.call(item.get("name"), item.get("arguments"), item.get("call_id"), place)
        case "custom_tool_call":
            _answer(to)
            to.call(item.get("name"), item.get("input"), item.get("call_id"), place)
        case "reasoning":
            _write_reasoning(to, item)
        case str() if kind in _OUTPUTS:
            to.turn("tool")
            if to.family.has_call_ids and isinstance(call_id := item.get("call_id"), str):
                to.field("id", call_id)
            output = item.get("output")
            write_content(to, output if isinstance(output, str | list) else None, (*place, "output"))
        case "item_reference":  # the id of an item that only the server knows
            pass
        case _:
            to.turn("")
            to.pieces.append(to.unknown(item, place))


def _write_message(to: Writer, item: JsonObject, place: Place) -> None:
    role = check_role(item.get("role"), place)
    is_system = role in SYSTEM_ROLES
    if role == "assistant":
        _answer(to)
    else:
        to.turn("system" if is_system else role)
    write_content(to, item.get("content"), (*place, "content"), is_system=is_system)


def _write_reasoning(to: Writer, item: JsonObject) -> None:
    """The text of the first part: of the reasoning itself, or else of its summary."""
    _answer(to)
    if not to.shows_reasoning:
        return
    parts = item.get("content") or item.get("summary")
    first = parts[0] if isinstance(parts, list) and parts else None
    if isinstance(first, dict) and isinstance(text := first.get("text"), str):
        to.field("reasoning", text)


def _answer(to: Writer) -> None:
    """Begin an answer, or go on with the one that is open."""
    if to.role != "assistant":
        to.turn("assistant")
