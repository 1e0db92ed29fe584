"""Twenty transcripts of coding agents in three APIs' shapes, short enough for a small engine. Pure: always the same.

They are what `tests.bench.real_engine` sends to real engines and what its record is replayed with.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from lab.workloads.agents import CLIENTS
from lab.workloads.conversations import Conversation, Passage, Rendered, Turn, length, vocabulary

TRANSCRIPTS = 20
TURNS = 5
_TOOLS = 6


class Step(NamedTuple):
    """One request of one transcript, by their numbers."""

    transcript: int
    turn: int
    sent: Rendered


def steps(model: str) -> Iterator[Step]:
    """All requests, in the order in which they are sent: transcripts take turns."""
    transcripts = _transcripts()
    for turn in range(TURNS):
        for number, transcript in enumerate(transcripts):
            assert transcript.render is not None
            sent = transcript.render(transcript, turn)
            tools = _tools(sent.path, Random(f"tools {number % len(CLIENTS)}"))
            limit = "max_output_tokens" if sent.path.endswith("responses") else "max_tokens"
            body = {key: value for key, value in sent.body.items() if key != "max_tokens"}
            body |= {"model": model, "stream": False, "tools": tools, limit: 4}
            yield Step(number, turn, Rendered(sent.path, sent.headers, body))


def _transcripts() -> list[Conversation]:
    words, texts = vocabulary(), Random("transcripts")
    prompts = {name: words.passage(1200, texts) for name in CLIENTS}
    found = []
    for number in range(TRANSCRIPTS):
        name = tuple(CLIENTS)[number % len(CLIENTS)]
        random = Random(f"transcript {number}")
        turns = tuple(Turn(0.0, _passage(random, 200), _passage(random, 60)) for _ in range(TURNS))
        found.append(Conversation(number, 0.0, None, prompts[name], turns, render=CLIENTS[name]))
    return found


def _passage(random: Random, median: int) -> Passage:
    return vocabulary().passage(length(random, median, 0.8, 8, 1200), random)


def _tools(path: str, random: Random) -> list[dict[str, object]]:
    """Schemas with descriptions, in the API's form."""
    words = vocabulary()
    shown: list[dict[str, object]] = []
    for number in range(_TOOLS):
        names = [f"field_{number}_{at}" for at in range(random.randint(2, 6))]
        properties = {name: {"type": "string", "description": words.passage(12, random).text} for name in names}
        schema = {"type": "object", "properties": properties, "required": names[:1]}
        tool = {"name": f"tool_{number}", "description": words.passage(40, random).text}
        if path.endswith("messages"):
            shown.append({**tool, "input_schema": schema})
        elif path.endswith("responses"):
            shown.append({"type": "function", **tool, "parameters": schema})
        else:
            shown.append({"type": "function", "function": {**tool, "parameters": schema}})
    return shown
