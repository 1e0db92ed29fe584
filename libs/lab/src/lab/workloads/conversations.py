"""Three workloads, as conversations that clients hold. Pure and seeded: same seed and rate, same requests.

    shared   Assistants with long system prompts: many users, each asks one question. Popularity is Zipf's.
    chat     One assistant, conversations of several turns; each request carries the whole history.
    adapters LoRA adapters, more than any server has slots for, Zipf popularity; a short prompt of each adapter's own.

Conversations begin as a Poisson process; a conversation's next turn follows a pause after the previous answer ended,
as people do. A run begins amid the conversations that would be going on, or their number would grow for minutes.
Texts are words of a made-up vocabulary, one token each, so that tokens and text say the same and the picker's four
bytes per token are an estimate here as they are in life (a word with its space has 5 bytes).
"""

import heapq
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate
from math import exp, log
from random import Random
from types import MappingProxyType
from typing import NamedTuple

import orjson

from model_sim.engine.blocks import block_hashes, chain_root
from model_sim.engine.request import FinishReason, Request

BASE_MODEL = "meta-llama/Llama-3.1-8B-Instruct"
MAX_TOKENS = 1024
"""What clients ask for; answers end by themselves before it."""
VOCABULARY_SIZE = 1 << 16
"""A token is two random bytes: cheap to draw."""
_LETTERS = "etaoinshrdlucmwfgypb"


@dataclass(frozen=True)  # no slots: its text is made where it is read, and kept
class Passage:
    """Tokens and their text: what is `written`, or the vocabulary's words. Most that is made up is never read."""

    tokens: "array[int]"
    written: str | None = None

    @cached_property
    def text(self) -> str:
        """What clients send."""
        return vocabulary().text(self.tokens) if self.written is None else self.written


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user says after `pause` seconds, and what the model will answer."""

    pause: float
    question: Passage
    answer: Passage


@dataclass(frozen=True, slots=True)
class Conversation:
    """One user's requests. `start` is the arrival of turn `first`, which is not 0 where the run began in the middle.
    `begins` says for each turn with which one its history begins; without it all begin with the first.
    """

    id: int
    start: float
    adapter: str | None
    system: Passage
    turns: Sequence[Turn]
    first: int = 0
    render: "Callable[[Conversation, int], Rendered] | None" = None  # None: a chat without tools
    begins: tuple[int, ...] = ()
    session: str = ""
    is_verbatim: bool = False  # a turn's question is its whole prompt, marks of a template included

    def history(self, turn: int) -> Sequence[Turn]:
        """The turns that a turn's request holds, its own the last."""
        return self.turns[self.begins[turn] if self.begins else 0 : turn + 1]


class Rendered(NamedTuple):
    """A request as its client sends it."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """One request twice over: as JSON for the picker, as token blocks for the engine."""

    id: str
    body: bytes
    request: Request
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workload:
    """How conversations of a kind come about, and what the servers are started with for them."""

    name: str
    summary: str
    conversations: Callable[[float, float, int], Iterator[Conversation]]
    """`(rate, until, seed)`: in order of their start, `rate` requests per second on average."""
    max_loras: int = 1
    max_cpu_loras: int = 1


class Vocabulary:
    """Made-up words, each a token, and the template's marks."""

    def __init__(self) -> None:
        random = Random(0)
        words: dict[str, None] = {}
        while len(words) < VOCABULARY_SIZE:
            words["".join(random.choices(_LETTERS, k=random.choice((2, 3, 3, 4, 4, 5))))] = None
        self.words = [f"{word} " for word in words]

    def passage(self, length: int, random: Random) -> Passage:
        """Random text of so many tokens."""
        return Passage(array("I", array("H", random.randbytes(2 * length))))

    def text(self, tokens: "array[int]") -> str:
        """Their words."""
        words = self.words
        return "".join([words[token] for token in tokens])


def joined(passages: Sequence[Passage]) -> Passage:
    """One after the other."""
    tokens = array("I")
    for each in passages:
        tokens += each.tokens
    is_written = any(each.written is not None for each in passages)
    return Passage(tokens, "".join([each.text for each in passages]) if is_written else None)


@cache
def vocabulary() -> Vocabulary:
    """The one there is: made once, it never changes."""
    return Vocabulary()


_SYSTEM, _USER, _ASSISTANT, _END = (array("I", [VOCABULARY_SIZE + mark]) for mark in range(4))


def call_of(conversation: Conversation, turn: int, block_size: int) -> Call:
    """The request of one turn, with all that was said before."""
    tokens, answer = _tokens(conversation, turn)
    prompt_tokens = len(tokens)
    tokens += answer
    id_ = f"{conversation.id}.{turn}"
    path, headers, body = (conversation.render or _chat)(conversation, turn)
    request = Request(
        id=id_,
        prompt_tokens=prompt_tokens,
        output_tokens=len(tokens) - prompt_tokens,
        block_hashes=block_hashes(tokens.tobytes(), block_size, root=chain_root(conversation.adapter, "")),
        adapter=conversation.adapter,
        finish_reason=FinishReason.STOP,
        max_tokens=max(MAX_TOKENS, len(answer)),
    )
    return Call(id_, orjson.dumps(body), request, path, headers)


def _tokens(conversation: Conversation, turn: int) -> tuple["array[int]", "array[int]"]:
    """Of the prompt and of the answer."""
    *earlier, now = conversation.history(turn)
    if conversation.is_verbatim:
        return now.question.tokens[:], now.answer.tokens
    tokens = _SYSTEM + conversation.system.tokens + _END
    for before in earlier:
        tokens += _USER + before.question.tokens + _END + _ASSISTANT + before.answer.tokens + _END
    return tokens + _USER + now.question.tokens + _END + _ASSISTANT, now.answer.tokens + _END


def _chat(conversation: Conversation, turn: int) -> Rendered:
    messages: list[dict[str, str]] = [{"role": "system", "content": conversation.system.text}]
    *earlier, now = conversation.history(turn)
    for before in earlier:
        messages += (
            {"role": "user", "content": before.question.text},
            {"role": "assistant", "content": before.answer.text},
        )
    messages.append({"role": "user", "content": now.question.text})
    body = {
        "model": conversation.adapter or BASE_MODEL,
        "messages": messages,
        "max_tokens": MAX_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return Rendered("/v1/chat/completions", {}, body)


# -- the three -------------------------------------------------------------------------------------------------------

ASSISTANTS = 150
ASSISTANT_ZIPF = 0.8
ADAPTERS = 80
ADAPTER_SLOTS = 8
ADAPTER_HOST_SLOTS = 32
ADAPTER_ZIPF = 1.0
CHAT_TURNS_MEAN = 6
CHAT_TURNS_MOST = 20
CHAT_PAUSE_MEAN = 10.0
CHAT_ANSWER_SECONDS = 5.0
"""What an answer took in conversations that began before the run."""
CHAT_PAST_SECONDS = 300.0
"""How long before the run conversations began: longer than all but the longest last."""


def shared_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """System prompts of 4000 tokens (median), questions of 300, answers of 150."""
    words, texts = vocabulary(), Random(f"assistants {seed}")
    systems = [words.passage(length(texts, 4000, 0.5, 1000, 12000), texts) for _ in range(ASSISTANTS)]
    popularity = _zipf(ASSISTANTS, ASSISTANT_ZIPF)
    for id_, start, random in arrivals(rate, until, f"shared {seed}"):
        system = random.choices(systems, cum_weights=popularity)[0]
        turn = turn_of(random, 0.0, question=300, answer=150)
        yield Conversation(id_, start, None, system, (turn,))


def chat_conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
    """A system prompt of 600 tokens, first messages of 800, later ones of 120, answers of 200; six turns on average."""
    words = vocabulary()
    system = words.passage(600, Random(f"assistant {seed}"))
    ahead: list[tuple[float, int, Conversation]] = []  # begun before the run, their next turn is yet to come
    for id_, shifted, random in arrivals(rate / CHAT_TURNS_MEAN, until + CHAT_PAST_SECONDS, f"chat {seed}"):
        pauses = [0.0]
        while len(pauses) < CHAT_TURNS_MOST and random.random() > 1 / CHAT_TURNS_MEAN:
            pauses.append(random.expovariate(1 / CHAT_PAUSE_MEAN))
        start, first = shifted - CHAT_PAST_SECONDS, 0
        while ahead and ahead[0][0] <= start:
            yield heapq.heappop(ahead)[2]
        while start < 0 and first + 1 < len(pauses):
            first += 1
            start += CHAT_ANSWER_SECONDS + pauses[first]
        if start >= 0:
            turns = [turn_of(random, pause, question=120 if pause else 800, answer=200) for pause in pauses]
            heapq.heappush(ahead, (start, id_, Conversation(id_, start, None, system, tuple(turns), first)))
    for _, _, conversation in sorted(ahead):
        yield conversation


def adapters(count: int) -> Callable[[float, float, int], Iterator[Conversation]]:
    """So many adapters with a prompt of 500 tokens each, questions of 400, answers of 150."""

    def conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
        words, texts = vocabulary(), Random(f"adapters {seed}")
        systems = [words.passage(length(texts, 500, 0.4, 100, 2000), texts) for _ in range(count)]
        popularity = _zipf(count, ADAPTER_ZIPF)
        for id_, start, random in arrivals(rate, until, f"adapters {seed}"):
            adapter = random.choices(range(count), cum_weights=popularity)[0]
            turn = turn_of(random, 0.0, question=400, answer=150)
            yield Conversation(id_, start, f"adapter-{adapter}", systems[adapter], (turn,))

    return conversations


def one_prompt(length: int) -> Callable[[float, float, int], Iterator[Conversation]]:
    """One system prompt of so many tokens for everybody, questions of 300, answers of 200."""

    def conversations(rate: float, until: float, seed: int) -> Iterator[Conversation]:
        words = vocabulary()
        system = words.passage(length, Random(f"prompt {seed}"))
        for id_, start, random in arrivals(rate, until, f"one prompt {seed}"):
            yield Conversation(id_, start, None, system, (turn_of(random, 0.0, question=300, answer=200),))

    return conversations


WORKLOADS: Mapping[str, Workload] = MappingProxyType({
    "shared": Workload("shared", "shared system prompts", shared_conversations),
    **{f"one-{length}": Workload(f"one-{length}", f"one prompt of {length} tokens", one_prompt(length))
       for length in (3000, 12_000, 24_000)},
    "chat": Workload("chat", "multi-turn chat", chat_conversations),
    "adapters": Workload(
        "adapters", "LoRA mix", adapters(ADAPTERS), max_loras=ADAPTER_SLOTS, max_cpu_loras=ADAPTER_HOST_SLOTS
    ),
    "adapters-200": Workload(
        "adapters-200", "200 adapters, 4 slots", adapters(200), max_loras=4, max_cpu_loras=ADAPTER_HOST_SLOTS
    ),
})  # fmt: skip


def arrivals(rate: float, until: float, seed: str) -> Iterator[tuple[int, float, Random]]:
    """Poisson arrivals, each with a generator of its own: what one says does not depend on how many came before."""
    random = Random(seed)
    at, id_ = random.expovariate(rate), 0
    while at < until:
        yield id_, at, Random(f"{seed} {id_}")
        at, id_ = at + random.expovariate(rate), id_ + 1


def turn_of(random: Random, pause: float, *, question: int, answer: int) -> Turn:
    """A question and its answer, of about so many tokens."""
    words = vocabulary()
    prompt = words.passage(length(random, question, 0.7, 8, 8 * question), random)
    answered = words.passage(length(random, answer, 0.7, 8, MAX_TOKENS - 1), random)
    return Turn(pause, prompt, answered)


def length(random: Random, median: int, sigma: float, least: int, most: int) -> int:
    """Log-normal, as measured lengths of prompts and answers are."""
    return min(most, max(least, round(exp(random.gauss(log(median), sigma)))))


def _zipf(count: int, exponent: float) -> Sequence[float]:
    """Cumulative weights: the nth most popular is asked 1 / n^exponent as often as the first."""
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))
