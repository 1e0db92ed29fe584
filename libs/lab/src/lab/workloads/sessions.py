"""Sessions of agents as traces record them: block hashes, lengths, times and subagents, no text. Pure.

The format is that of the AgentX benchmark's traces: one JSON object for a session, with `block_size` and `requests`. A
request has `type` (`n`, `s` for a streamed one), `t` (seconds from the session's start), `in` and `out` (tokens), and
`hash_ids`, one for each block of the prompt: equal ids are equal tokens. A `subagent` holds `requests` of its own. What
was said is made up from the hashes, so that prefixes are equal where they were.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from lab.workloads.conversations import (
    BASE_MODEL,
    MAX_TOKENS,
    Conversation,
    Passage,
    Rendered,
    Turn,
    arrivals,
    joined,
    length,
    vocabulary,
)

BLOCK_TOKENS = 64
_EMPTY = Passage(array("I"), "")
_TYPES = frozenset(("n", "s"))
_REQUESTS_MEAN = 12
PAST_SECONDS = 60.0
"""How long before the run sessions began: as long as most last."""


def conversations_of(session: Mapping[str, Any], id_: int, start: float) -> Iterator[Conversation]:
    """A session and its subagents, each with requests that carry their whole prompt. What came before 0 is left out."""
    size = int(session.get("block_size", BLOCK_TOKENS))
    pending = [(str(session.get("id", id_)), 0.0, session["requests"])]
    number = 0
    while pending:
        name, offset, requests = pending.pop()
        pending += [
            (name, float(each.get("t", offset)), each["requests"]) for each in requests if each["type"] == "subagent"
        ]
        own = [each for each in requests if each["type"] in _TYPES]
        first = next((at for at, each in enumerate(own) if start + each["t"] >= 0), None)
        if first is not None:
            turns = tuple(_turns(own, size))
            yield Conversation(
                id_ * 1000 + number, start + float(own[first]["t"]), None, _EMPTY, turns, first, _render,
                tuple(range(len(turns))), name,
            )  # fmt: skip
            number += 1


def _turns(requests: Sequence[Mapping[str, Any]], size: int) -> Iterator[Turn]:
    before = None
    for each in requests:
        pause = 0.0 if before is None else max(0.0, each["t"] - before["t"] - before.get("api_time", 0.0))
        prompt = joined([_block(hash_id, size) for hash_id in each["hash_ids"]])
        count = min(int(each["in"]), len(prompt.tokens))
        words = prompt.text.split(" ")[:count]
        question = Passage(prompt.tokens[:count], " ".join(words) + " ")
        answer = vocabulary().passage(max(1, min(int(each["out"]), MAX_TOKENS - 1)), Random(f"out {each['t']}"))
        yield Turn(pause, question, answer)
        before = each


@lru_cache(maxsize=8192)
def _block(hash_id: int, size: int) -> Passage:
    return vocabulary().passage(size, Random(hash_id))


def _render(conversation: Conversation, turn: int) -> Rendered:
    message = {"role": "user", "content": conversation.turns[turn].question.text}
    body: dict[str, object] = {"model": BASE_MODEL, "messages": [message], "max_tokens": MAX_TOKENS, "stream": True}
    return Rendered("/v1/chat/completions", {"x-session-id": conversation.session}, body)


def made_up_session(id_: int, random: Random) -> dict[str, Any]:
    """A session in this format: tools that all share, a repository that a tenth shares, a history that grows."""
    hashes = [*range(90), *range(1000 + 100 * (id_ % 10), 1040 + 100 * (id_ % 10))]
    fresh = 1_000_000 * (id_ + 1)
    requests: list[dict[str, object]] = []
    at = 0.0
    for number in range(max(2, round(random.expovariate(1 / _REQUESTS_MEAN)))):
        added = length(random, 6, 0.8, 1, 60)
        hashes = [*hashes, *range(fresh, fresh + added)]
        fresh += added
        took = random.uniform(1, 4)
        requests.append({
            "type": "s", "t": at, "in": BLOCK_TOKENS * len(hashes), "out": length(random, 120, 0.7, 8, 900),
            "hash_ids": hashes, "api_time": took,
        })  # fmt: skip
        if number == 2:
            requests.append(
                {"type": "subagent", "t": at + took, "requests": _subagent(fresh + 500_000, at + took, random)}
            )
        at += took + random.expovariate(1 / 2.0)
    return {"id": f"session-{id_}", "block_size": BLOCK_TOKENS, "requests": requests}


def _subagent(fresh: int, at: float, random: Random) -> list[dict[str, object]]:
    hashes = [*range(500, 540)]
    requests: list[dict[str, object]] = []
    for number in range(4):
        hashes = [*hashes, *range(fresh + 10 * number, fresh + 10 * number + 6)]
        requests.append({
            "type": "s", "t": at + 3.0 * number, "in": BLOCK_TOKENS * len(hashes), "out": 80, "hash_ids": hashes,
            "api_time": random.uniform(1, 2),
        })  # fmt: skip
    return requests


def trace_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """Made-up sessions as a Poisson process, `rate` requests a second on average."""
    found = [
        each
        for id_, shifted, random in arrivals(rate / (_REQUESTS_MEAN + 4), until + PAST_SECONDS, f"traces {seed}")
        for each in conversations_of(made_up_session(id_, random), id_, shifted - PAST_SECONDS)
    ]
    yield from sorted(found, key=lambda each: each.start)
