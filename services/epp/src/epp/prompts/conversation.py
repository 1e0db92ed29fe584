"""Writes a conversation in the order of its family's template, whichever API brought it. Pure.

    effort, arguments   where the family begins with them
    tools               before or after the system prompt, or before the last user turn
    system, documents
    turns
    arguments           that change only the end: how the next answer begins

`tool_choice`, `response_format`, `parallel_tool_calls`, sampling and metadata make no tokens and are not written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from epp.prompts.families import Reasoning, ToolsAt
from epp.prompts.invalid import Place
from epp.prompts.writer import TURN, JsonObject, Writer

SYSTEM_ROLES = frozenset(("system", "developer"))  # templates without the newer role take it for the older


class Part(Enum):
    """Who speaks in a turn, as far as templates care."""

    SYSTEM = "system"
    USER = "user"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Shape:
    """How one API writes its turns. `write` gets the turn, its place, and whether its reasoning is rendered."""

    param: str
    part_of: Callable[[object], Part]
    write: Callable[[Writer, object, Place, bool], None]


def write_conversation(to: Writer, body: JsonObject, turns: Sequence[object], shape: Shape, effort: object) -> None:
    """Write a whole conversation. A system prompt that stands beside the turns is already in `to.pieces`."""
    family, tools = to.family, body.get("tools")
    beside, to.pieces = to.pieces, []  # the system prompt beside the turns
    _write_beginning(to, body, effort)
    if tools is not None and family.tools is ToolsAt.BEFORE_SYSTEM:
        to.tools(tools, ("tools",))
    to.pieces += beside
    at = _write_system(to, turns, shape)
    if tools is not None and family.tools is ToolsAt.AFTER_SYSTEM:
        to.tools(tools, ("tools",))
    if (documents := body.get("documents")) is not None:
        to.argument("documents", documents)
    last_user, reasoning = _last_user(to, turns, shape), family.reasoning
    is_recent = reasoning is Reasoning.AFTER_LAST_USER
    for index in range(at, len(turns)):
        if index == last_user and tools is not None and family.tools is ToolsAt.LAST_USER:
            to.tools(tools, ("tools",))
        turn = turns[index]
        shape.write(to, turn, (shape.param, index), reasoning is Reasoning.ALL or (is_recent and index > last_user))
        if not to.opening and shape.part_of(turn) is Part.USER:
            to.mark_opening()
    _write_end(to, body, effort)


def _write_system(to: Writer, turns: Sequence[object], shape: Shape) -> int:
    """The turns of the system prompt at the start; how many there are."""
    at = 0
    while at < len(turns) and shape.part_of(turns[at]) is Part.SYSTEM:
        shape.write(to, turns[at], (shape.param, at), False)
        at += 1
    return at


def _last_user(to: Writer, turns: Sequence[object], shape: Shape) -> int:
    family = to.family
    if family.reasoning is not Reasoning.AFTER_LAST_USER and family.tools is not ToolsAt.LAST_USER:
        return -1
    for index in range(len(turns) - 1, -1, -1):
        if shape.part_of(turns[index]) is Part.USER:
            return index
    return -1


def _write_beginning(to: Writer, body: JsonObject, effort: object) -> None:
    if (template := body.get("chat_template")) is not None:
        to.argument("chat_template", template)
    if effort is not None and to.family.has_effort_first:
        to.argument("effort", effort)
    if to.family.has_arguments_first and (arguments := body.get("chat_template_kwargs")) is not None:
        to.argument("chat_template_kwargs", arguments)


def _write_end(to: Writer, body: JsonObject, effort: object) -> None:
    ends = {}
    if effort is not None and not to.family.has_effort_first:
        ends["effort"] = effort
    if not to.family.has_arguments_first and (arguments := body.get("chat_template_kwargs")) is not None:
        ends["chat_template_kwargs"] = arguments
    if ends:
        to.pieces.append(TURN)
        for name, value in ends.items():
            to.argument(name, value)
