"""More workloads: what is sent to servers beside chat. Pure and seeded, as those of `workloads`.

rag         Answers from documents: three of 400 before each question, Zipf popularity, in any order.
batch       Jobs of forty items that come within a second; the instructions of a job stand before each of its items.
media       Questions about one of 300 pictures, Zipf popularity.
agents-long Coding agents whose history is replaced by a summary every twenty turns, with subagents.
traces      Recorded sessions in the AgentX format, here made up: see `traces`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from random import Random
from types import MappingProxyType
from typing import TypeVar

from lab.workloads.agents import AGENTS, TURNS, agent_conversations
from lab.workloads.conversations import (
    BASE_MODEL,
    MAX_TOKENS,
    WORKLOADS,
    Conversation,
    Passage,
    Rendered,
    Workload,
    arrivals,
    joined,
    length,
    turn_of,
    vocabulary,
)
from lab.workloads.pictures import Picture, picture
from lab.workloads.sessions import trace_conversations

DOCUMENTS, DOCUMENTS_EACH = 400, 3
ITEMS = 40
PICTURES, PICTURE_SIDE = 300, 1024
COMPACTED_AFTER = 20
SUBAGENT_TURNS = 8
_ZIPF = 0.9
_Choice = TypeVar("_Choice")


def rag_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """Documents of 1200 tokens (median), a system prompt of 300, questions of 60, answers of 150."""
    words, texts = vocabulary(), Random(f"documents {seed}")
    system = words.passage(300, texts)
    documents = [words.passage(length(texts, 1200, 0.5, 200, 4000), texts) for _ in range(DOCUMENTS)]
    choose = _popular(documents)
    for id_, start, random in arrivals(rate, until, f"rag {seed}"):
        found = [choose(random) for _ in range(DOCUMENTS_EACH)]
        turn = turn_of(random, 0.0, question=60, answer=150)
        question = joined([*found, turn.question])
        yield Conversation(id_, start, None, system, (replace(turn, question=question),))


def batch_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """Instructions of 2500 tokens, items of 500, answers of 40."""
    words = vocabulary()
    items: list[Conversation] = []
    for job, start, random in arrivals(rate / ITEMS, until, f"batch {seed}"):
        instructions = words.passage(length(random, 2500, 0.4, 500, 8000), random)
        for number in range(ITEMS):
            turn = turn_of(random, 0.0, question=500, answer=40)
            items.append(Conversation(job * ITEMS + number, start + random.random(), None, instructions, (turn,)))
    yield from sorted(items, key=lambda each: each.start)


def media_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """Pictures of 1024 × 1024 pixels, a system prompt of 300, questions of 60, answers of 100."""
    words, texts = vocabulary(), Random(f"pictures {seed}")
    system = words.passage(300, texts)
    choose = _popular([picture(PICTURE_SIDE, texts) for _ in range(PICTURES)])
    for id_, start, random in arrivals(rate, until, f"media {seed}"):
        turn, shown = turn_of(random, 0.0, question=60, answer=100), choose(random)
        question = Passage(shown.tokens + turn.question.tokens, turn.question.text)
        turn = replace(turn, question=question)
        yield Conversation(id_, start, None, system, (turn,), render=partial(_ask_about, shown))


def long_agent_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """Sessions of `agents` with compaction; every other one has a subagent with a prompt of its own in the middle."""
    words, random = vocabulary(), Random(f"long agents {seed}")
    begins = tuple(turn // COMPACTED_AFTER * COMPACTED_AFTER for turn in range(TURNS))
    helper = words.passage(3000, random)
    found: list[Conversation] = []
    for each in agent_conversations(rate * TURNS / (TURNS + SUBAGENT_TURNS / 2), until, seed):
        turns = tuple(
            replace(turn, question=words.passage(1500, random)) if number and begins[number] == number else turn
            for number, turn in enumerate(each.turns)
        )
        found.append(replace(each, turns=turns, begins=begins))
        if each.id % 2:
            start = each.start + random.uniform(0, until / 2)
            found.append(
                replace(each, id=each.id + 1_000_000, start=start, first=0, system=helper,
                        turns=(*each.turns[:1], *each.turns[-SUBAGENT_TURNS + 1 :]))
            )  # fmt: skip
    yield from sorted(found, key=lambda each: each.start)


WIDER: Mapping[str, Workload] = MappingProxyType({
    **WORKLOADS,
    "agents": AGENTS,
    "agents-long": Workload("agents-long", "coding agents, with compaction and subagents", long_agent_conversations),
    "traces": Workload("traces", "sessions in the AgentX format", trace_conversations),
    "rag": Workload("rag", "questions about shared documents", rag_conversations),
    "batch": Workload("batch", "jobs of many items", batch_conversations),
    "media": Workload("media", "questions about pictures", media_conversations),
})  # fmt: skip


def _popular(choices: Sequence[_Choice]) -> Callable[[Random], _Choice]:
    weights = [*accumulate(1 / rank**_ZIPF for rank in range(1, len(choices) + 1))]
    return lambda random: random.choices(choices, cum_weights=weights)[0]


def _ask_about(shown: Picture, conversation: Conversation, turn: int) -> Rendered:
    text = conversation.turns[turn].question.text
    content = [{"type": "image_url", "image_url": {"url": shown.url}}, {"type": "text", "text": text}]
    messages = [{"role": "system", "content": conversation.system.text}, {"role": "user", "content": content}]
    body: dict[str, object] = {"model": BASE_MODEL, "messages": messages, "max_tokens": MAX_TOKENS, "stream": True}
    return Rendered("/v1/chat/completions", {}, body)
