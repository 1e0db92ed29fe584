"""Writes a conversation in the order of its family's template, whichever API brought it. Pure.

    effort, arguments   where the family begins with them
    tools               before or after the system prompt, or before the last user turn
    system, documents   where the family renders them
    turns
    arguments           that change only the end: how the next answer begins

`tool_choice`, `response_format`, `parallel_tool_calls`, sampling and metadata make no tokens and are not written.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from epp.prompts.families import Family
from epp.prompts.invalid import Place, wrong_kind
from epp.prompts.writer import TURN, JsonObject, Writer

SYSTEM_ROLES = frozenset(("system", "developer"))  # templates without the newer role take it for the older


# Members that a template renders beside the turns.
_BESIDE_TURNS = ("tools", "documents", "chat_template", "chat_template_kwargs")


# Who speaks in a turn, as far as templates care. Plain words: a transcript has thousands of turns.
Part = Literal["system", "user", "other"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How one API writes its turns. `write` gets a turn that is an object, and its place."""

    param: str
    part_of: Callable[[object], Part]
    write: Callable[[Writer, JsonObject, Place], None]


def write_conversation(to: Writer, body: JsonObject, turns: Sequence[object], shape: Shape, effort: object) -> None:
    """Write a whole conversation. A system prompt that stands beside the turns is already in `to.pieces`."""
    parts = [*map(shape.part_of, turns)]
    at = _leading_system(parts)
    has_more = effort is not None or not body.keys().isdisjoint(_BESIDE_TURNS)  # than its turns
    if has_more or to.pieces:
        _write_before_turns(to, body, effort)
    for index in range(at):
        _write_turn(to, turns[index], shape, index)
    if has_more:
        _write_after_system(to, body)
    _write_turns(to, turns, shape, parts, first=at, tools=body.get("tools"))
    if has_more:
        _write_end(to, body, effort)


def _write_before_turns(to: Writer, body: JsonObject, effort: object) -> None:
    """What the template begins with, tools among it, and then the system prompt that stands beside the turns."""
    beside, to.pieces = to.pieces, []
    places_beside = to.places or ()
    if to.places is not None:
        to.places = []
    _write_beginning(to, body, effort)
    if (tools := body.get("tools")) is not None and to.family.tools == "before system":
        to.tools(tools, ("tools",))
    to.insert(beside, places_beside)


def _write_after_system(to: Writer, body: JsonObject) -> None:
    if (tools := body.get("tools")) is not None and to.family.tools == "after system":
        to.tools(tools, ("tools",))
    if to.family.has_documents and (documents := body.get("documents")) is not None:
        to.argument("documents", documents)


def _write_turns(
    to: Writer, turns: Sequence[object], shape: Shape, parts: Sequence[Part], *, first: int, tools: object
) -> None:
    """The turns from `first` on; where the family wants it, the tools before the last of the user's."""
    last_user = _last_user(parts, to.family)
    first_shown = _first_shown(to.family, last_user)
    tools_before = last_user if tools is not None and to.family.tools == "before last user" else -1
    for index in range(first, len(turns)):
        if index == tools_before:
            to.tools(tools, ("tools",))
        to.shows_reasoning = index >= first_shown
        _write_turn(to, turns[index], shape, index)
        if parts[index] == "user" and not to.opening:
            to.mark_opening()


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
    while at < len(parts) and parts[at] == "system":
        at += 1
    return at


def _last_user(parts: Sequence[Part], family: Family) -> int:
    """The last turn of the user, as far as the family's template looks for it; -1 for none."""
    if family.reasoning != "after last user" and family.tools != "before last user":
        return -1
    at = len(parts) - 1
    while at >= 0 and parts[at] != "user":
        at -= 1
    return at


def _first_shown(family: Family, last_user: int) -> float:
    """The first turn whose reasoning is rendered again."""
    if family.reasoning == "after last user":
        return last_user + 1
    return 0 if family.reasoning == "all" else math.inf


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
