"""Writes a conversation in the order of its family's template, whichever API brought it. Pure.

    effort, arguments   where the family begins with them
    tools               before or after the system prompt, or before the last user turn
    system, documents
    turns
    arguments           that change only the end: how the next answer begins

`tool_choice`, `response_format`, `parallel_tool_calls`, sampling and metadata make no tokens and are not written.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from epp.prompts.families import Family, Reasoning, ToolsAt
from epp.prompts.invalid import Place, wrong_kind
from epp.prompts.writer import TURN, JsonObject, Writer

SYSTEM_ROLES = frozenset(("system", "developer"))  # templates without the newer role take it for the older


class Part(Enum):
    """Who speaks in a turn, as far as templates care."""

    SYSTEM = "system"
    USER = "user"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Shape:
    """How one API writes its turns. `write` gets a turn that is an object, and its place."""

    param: str
    part_of: Callable[[object], Part]
    write: Callable[[Writer, JsonObject, Place], None]


def write_conversation(to: Writer, body: JsonObject, turns: Sequence[object], shape: Shape, effort: object) -> None:
    """Write a whole conversation. A system prompt that stands beside the turns is already in `to.pieces`."""
    tools_at, tools = to.family.tools, body.get("tools")
    parts = [*map(shape.part_of, turns)]
    beside, to.pieces = to.pieces, []  # the system prompt beside the turns
    places_beside = to.places or ()
    if to.places is not None:
        to.places = []
    _write_beginning(to, body, effort)
    if tools is not None and tools_at is ToolsAt.BEFORE_SYSTEM:
        to.tools(tools, ("tools",))
    to.insert(beside, places_beside)
    at = _leading_system(parts)
    for index in range(at):
        _write_turn(to, turns[index], shape, index)
    if tools is not None and tools_at is ToolsAt.AFTER_SYSTEM:
        to.tools(tools, ("tools",))
    if (documents := body.get("documents")) is not None:
        to.argument("documents", documents)
    last_user = _last_user(parts, to.family)
    first_shown = _first_shown(to.family, last_user)
    for index in range(at, len(turns)):
        if index == last_user and tools is not None and tools_at is ToolsAt.LAST_USER:
            to.tools(tools, ("tools",))
        to.shows_reasoning = index >= first_shown
        _write_turn(to, turns[index], shape, index)
        if not to.opening and parts[index] is Part.USER:
            to.mark_opening()
    _write_end(to, body, effort)


def _write_turn(to: Writer, turn: object, shape: Shape, index: int) -> None:
    if to.places is not None:
        to.mark((shape.param, index))
    if isinstance(turn, dict):
        shape.write(to, turn, (shape.param, index))
    elif isinstance(turn, str):
        to.turn("")
        to.text(turn)
    else:
        raise wrong_kind((shape.param, index), "an object", turn)


def _leading_system(parts: Sequence[Part]) -> int:
    """How many turns of the system prompt stand at the start."""
    at = 0
    while at < len(parts) and parts[at] is Part.SYSTEM:
        at += 1
    return at


def _last_user(parts: Sequence[Part], family: Family) -> int:
    """The last turn of the user, as far as the family's template looks for it; -1 for none."""
    if family.reasoning is not Reasoning.AFTER_LAST_USER and family.tools is not ToolsAt.LAST_USER:
        return -1
    at = len(parts) - 1
    while at >= 0 and parts[at] is not Part.USER:
        at -= 1
    return at


def _first_shown(family: Family, last_user: int) -> float:
    """The first turn whose reasoning is rendered again."""
    if family.reasoning is Reasoning.AFTER_LAST_USER:
        return last_user + 1
    return 0 if family.reasoning is Reasoning.ALL else math.inf


def _write_beginning(to: Writer, body: JsonObject, effort: object) -> None:
    if (template := body.get("chat_template")) is not None:
        to.argument("chat_template", template)
    if effort is not None and to.family.has_effort_first:
        to.argument("effort", effort)
    if to.family.has_arguments_first and (arguments := body.get("chat_template_kwargs")) is not None:
        to.argument("chat_template_kwargs", arguments)


def _write_end(to: Writer, body: JsonObject, effort: object) -> None:
    family, arguments = to.family, body.get("chat_template_kwargs")
    if family.has_effort_first:
        effort = None
    if family.has_arguments_first:
        arguments = None
    if effort is None and arguments is None:
        return
    to.pieces.append(TURN)
    if effort is not None:
        to.argument("effort", effort)
    if arguments is not None:
        to.argument("chat_template_kwargs", arguments)
