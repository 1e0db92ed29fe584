"""Coding agents, as conversations: three clients' shapes, with tools, tool calls and what changes in every request.

    claude   `/v1/messages`: a billing line that changes, `cache_control` that moves, the session in `metadata.user_id`
    codex    `/v1/responses`: items with new ids in every request, `prompt_cache_key`
    opencode `/v1/chat/completions`: no session anywhere

All sessions of a client share its tools and system prompt. A turn is the result of a tool: the user speaks once, at the
start. A run begins amid sessions, or their prompts would be short for minutes.
"""

from collections.abc import Iterator
from random import Random

import orjson

from lab.workloads.conversations import (
    BASE_MODEL,
    MAX_TOKENS,
    Conversation,
    Passage,
    Rendered,
    Turn,
    Workload,
    length,
    vocabulary,
)

PROMPT_TOKENS = 9000
"""Tools and system prompt: 45 KB of text."""
TURNS = 60
FIRST_MOST = 30
"""A session that was going on before the run has had up to so many turns."""
TURN_SECONDS = 4.0
"""A tool runs for two seconds, an answer takes about as long."""
TOOL_SECONDS = 2.0


def _claude(conversation: Conversation, turn: int) -> Rendered:
    last = len(conversation.history(turn)) - 1
    stamp = Random(f"{conversation.id} {turn}").getrandbits(20)
    system = [
        {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.{stamp % 9}; cch={stamp:05x};"},
        {"type": "text", "text": _prompt(conversation).text, "cache_control": {"type": "ephemeral"}},
    ]
    messages: list[object] = []
    for number, each in enumerate(conversation.history(turn)):
        block: dict[str, object] = {"type": "text", "text": each.question.text}
        if number:
            block = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": each.question.text}
        if number == last:
            block["cache_control"] = {"type": "ephemeral"}
        messages.append({"role": "user", "content": [block]})
        if number < last:
            use = {"type": "tool_use", "id": f"toolu_{number + 1}", "name": "run", "input": {"c": each.answer.text}}
            messages.append({"role": "assistant", "content": [use]})
    user = f"user_{conversation.id % 7}_account__session_{conversation.id}"
    body: dict[str, object] = {"system": system, "messages": messages, "metadata": {"user_id": user}}
    return Rendered("/v1/messages", {}, _with_model(body | {"tools": _tools("input_schema")}))


def _codex(conversation: Conversation, turn: int) -> Rendered:
    last = len(conversation.history(turn)) - 1
    fresh = Random(f"{conversation.id} {turn}")
    items: list[object] = []
    for number, each in enumerate(conversation.history(turn)):
        call, mark = f"call_{number}", f"{fresh.getrandbits(64):x}"
        if number:
            items.append({"type": "function_call_output", "call_id": call, "output": each.question.text, "id": mark})
        else:
            items.append({"type": "message", "role": "user", "content": each.question.text, "id": mark})
        if number < last:
            use = {"call_id": f"call_{number + 1}", "name": "run", "arguments": _arguments(each.answer)}
            items.append({"type": "function_call", "id": f"fc_{mark}", "status": "completed", **use})
    body: dict[str, object] = {
        "instructions": _prompt(conversation).text,
        "input": items,
        "tools": _tools("parameters"),
    }
    return Rendered("/v1/responses", {}, _with_model(body | {"prompt_cache_key": f"codex-{conversation.id}"}))


def _opencode(conversation: Conversation, turn: int) -> Rendered:
    last = len(conversation.history(turn)) - 1
    messages: list[object] = [{"role": "system", "content": _prompt(conversation).text}]
    for number, each in enumerate(conversation.history(turn)):
        if number:
            messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": each.question.text})
        else:
            messages.append({"role": "user", "content": each.question.text})
        if number < last:
            function = {"name": "run", "arguments": _arguments(each.answer)}
            call = {"id": f"call_{number + 1}", "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    tools = [{"type": "function", "function": tool} for tool in _tools("parameters")]
    return Rendered("/v1/chat/completions", {}, _with_model({"messages": messages, "tools": tools}))


CLIENTS = {"claude": _claude, "codex": _codex, "opencode": _opencode}


def agent_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """As many sessions at once as make `rate` turns a second, of all clients in turn; new ones as old ones end."""
    words, texts = vocabulary(), Random(f"agents {seed}")
    prompts = {name: words.passage(PROMPT_TOKENS, texts) for name in CLIENTS}
    starts = [(texts.random() * TURN_SECONDS, texts.randrange(FIRST_MOST)) for _ in range(round(rate * TURN_SECONDS))]
    at = 0.0
    while (at := at + texts.expovariate(rate / TURNS)) < until:
        starts.append((at, 0))
    for id_, (start, first) in enumerate(sorted(starts)):
        random = Random(f"agent {seed} {id_}")
        name = tuple(CLIENTS)[id_ % len(CLIENTS)]
        turns = tuple(_turn(random, number) for number in range(TURNS))
        yield Conversation(id_, start, None, prompts[name], turns, first, CLIENTS[name])


AGENTS = Workload("agents", "coding agents", agent_conversations)


def _turn(random: Random, number: int) -> Turn:
    words, median = vocabulary(), 300 if number else 800
    question = words.passage(length(random, median, 1.0, 8, 6000), random)
    answer = words.passage(length(random, 120, 0.7, 8, MAX_TOKENS - 1), random)
    return Turn(random.expovariate(1 / TOOL_SECONDS), question, answer)


def _prompt(conversation: Conversation) -> Passage:
    return conversation.system


def _tools(schema: str) -> list[dict[str, object]]:
    """Short: the text of tools is in the system prompt, where tokens are counted."""
    return [{"name": "run", "description": "Run a command.", schema: {"type": "object"}}]


def _arguments(answer: Passage) -> str:
    return orjson.dumps({"c": answer.text}).decode()


def _with_model(body: dict[str, object]) -> dict[str, object]:
    return {"model": BASE_MODEL, "max_tokens": MAX_TOKENS, "stream": True, **body}
