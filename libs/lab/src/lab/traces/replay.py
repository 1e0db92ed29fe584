"""A trace becomes conversations. Pure and seeded.

What was said is made up from the hashes, so that prompts are equal where they were; what no hash covers is like nothing
else. Where a session's next prompt goes on from a prompt, the answer between them is what the next prompt says it was.
Sessions go on only after their answers, with the pauses that they had; requests that overlapped in a session stay
beside each other.

`speed` is more or fewer users: sessions begin sooner after each other, and nobody types faster. Each seed moves the
beginnings a little, so that what hangs on the luck of a moment differs between seeds.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from statistics import median
from typing import overload

from lab.traces.trace import Trace, TracedRequest
from lab.workloads.conversations import BASE_MODEL, Conversation, Passage, Rendered, Turn, joined, vocabulary

JITTER_SECONDS, JITTER_SHARE = 2.0, 0.05
"""A session begins up to so much sooner or later; in a short trace by this share of it."""
ANSWER_SECONDS = 5.0
"""What an answer took, where the trace does not say."""
ANSWER_TOKENS = 200
"""Where no request of the trace says it."""
PAUSE_SECONDS = 10.0
"""Between turns on average, where the trace has no times."""
_BLOCKS_KEPT = 4096
_EMPTY = Passage(array("I"), "")


@dataclass(frozen=True, slots=True)
class Replay:
    """A trace, made ready once: the requests that a server's context has room for, as sessions."""

    lanes: tuple[tuple[TracedRequest, ...], ...]
    has_times: bool
    left_out: int

    @property
    def count(self) -> int:
        """Requests."""
        return sum(map(len, self.lanes))

    @property
    def seconds(self) -> float:
        """From the first to the last, as they were."""
        return max((request.at for lane in self.lanes for request in lane), default=0.0)

    @property
    def adapters(self) -> int:
        """How many LoRA adapters are asked for."""
        return len({lane[0].adapter for lane in self.lanes} - {None})

    def conversations(self, speed: float, seed: int) -> Iterator[Conversation]:
        """In order of their start. Without times `speed` is requests a second, else how often the trace's own rate."""
        random = Random(f"replay {seed}")
        starts = self._moved(speed, random) if self.has_times else self._drawn(speed, random)
        for start, number in sorted(starts):
            lane = self.lanes[number]
            pauses = None if self.has_times else Random(f"pauses {seed} {number}")
            turns = _Turns(number, lane, pauses)
            session = "" if lane[0].session is None else f"{lane[0].session}-{number}"
            history = tuple(range(len(lane)))
            adapter = lane[0].adapter
            yield Conversation(number, start, adapter, _EMPTY, turns, 0, _render, history, session, is_verbatim=True)

    def _moved(self, speed: float, random: Random) -> Iterator[tuple[float, int]]:
        most = min(JITTER_SECONDS, JITTER_SHARE * self.seconds / speed)
        for number, lane in enumerate(self.lanes):
            yield max(0.0, lane[0].at / speed + random.uniform(-most, most)), number

    def _drawn(self, rate: float, random: Random) -> Iterator[tuple[float, int]]:
        at, order = 0.0, [*range(len(self.lanes))]
        random.shuffle(order)
        for number in order:
            at += random.expovariate(rate * len(order) / self.count)
            yield at, number


def replay_of(trace: Trace, most_tokens: int) -> Replay:
    """Requests of more than `most_tokens`, prompt and answer, are left out: a server would refuse them."""
    known = [each.output_tokens for each in trace.requests if each.output_tokens]
    answer = round(median(known)) if known else ANSWER_TOKENS
    fitting = [
        each if each.output_tokens else replace(each, output_tokens=answer)
        for each in trace.requests
        if each.prompt_tokens and each.prompt_tokens + (each.output_tokens or answer) <= most_tokens
    ]
    lanes = tuple(map(tuple, _lanes(fitting)))
    return Replay(lanes, trace.has_times, len(trace.requests) - len(fitting))


def _lanes(requests: Sequence[TracedRequest]) -> list[list[TracedRequest]]:
    """Requests one after the other, by session and adapter; of those that overlapped each has a lane of its own."""
    found: list[list[TracedRequest]] = []
    of_session: dict[tuple[str, str | None], list[list[TracedRequest]]] = {}
    for request in requests:
        key = None if request.session is None else (request.session, request.adapter)
        own = of_session.setdefault(key, []) if key is not None else []
        free = [lane for lane in own if _end(lane[-1]) <= request.at]
        if free:
            max(free, key=lambda lane: _end(lane[-1])).append(request)
            continue
        lane = [request]
        found.append(lane)
        own.append(lane)
    return found


def _end(request: TracedRequest) -> float:
    return request.at + (request.duration or 0.0)


class _Turns(Sequence[Turn]):
    """A lane's turns, made when they are wanted: texts of a whole trace would not fit into memory."""

    def __init__(self, number: int, lane: Sequence[TracedRequest], pauses: Random | None) -> None:
        self._number = number
        self._lane = lane
        self._pauses = None if pauses is None else [pauses.expovariate(1 / PAUSE_SECONDS) for _ in lane]
        self._made: tuple[int, Turn] | None = None

    def __len__(self) -> int:
        return len(self._lane)

    @overload
    def __getitem__(self, at: int) -> Turn: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Turn]: ...
    def __getitem__(self, at: int | slice) -> Turn | Sequence[Turn]:
        if isinstance(at, slice):
            return tuple(self[each] for each in range(*at.indices(len(self._lane))))
        if self._made is None or self._made[0] != at:
            self._made = (at, self._make(at))
        return self._made[1]

    def _make(self, at: int) -> Turn:
        request = self._lane[at]
        following = self._lane[at + 1] if at + 1 < len(self._lane) else None
        question, answer = _passages(request, following, Random(f"{self._number} {at}"))
        return Turn(self._pause(at), question, answer)

    def _pause(self, at: int) -> float:
        if not at:
            return 0.0
        if self._pauses is not None:
            return self._pauses[at]
        before, now = self._lane[at - 1], self._lane[at]
        took = ANSWER_SECONDS if before.duration is None else before.duration
        return max(0.0, now.at - before.at - took)


def _passages(request: TracedRequest, following: TracedRequest | None, random: Random) -> tuple[Passage, Passage]:
    """Prompt and answer."""
    size, words = request.block_tokens, vocabulary()
    whole = min(request.prompt_tokens // size, len(request.blocks))
    length = request.prompt_tokens - whole * size  # behind the whole blocks
    wanted = length + (request.output_tokens or 0)
    if following is not None and _goes_on(request, following, whole):
        known, most = following.blocks[whole : whole + -(-wanted // size)], wanted
    else:
        known, most = request.blocks[whole : whole + 1], length
    tail = joined([_block(each, size) for each in known]).tokens[:most]
    tail += words.passage(wanted - len(tail), random).tokens
    shared = joined([_block(each, size) for each in request.blocks[:whole]])
    question = Passage(shared.tokens + tail[:length])
    return question, Passage(tail[length:], "")


def _goes_on(request: TracedRequest, following: TracedRequest, whole: int) -> bool:
    is_longer = len(following.blocks) > whole and following.block_tokens == request.block_tokens
    return is_longer and following.blocks[:whole] == request.blocks[:whole]


@lru_cache(maxsize=_BLOCKS_KEPT)
def _block(hash_id: int, size: int) -> Passage:
    return vocabulary().passage(size, Random(hash_id))


def _render(conversation: Conversation, turn: int) -> Rendered:
    now = conversation.turns[turn]
    body: dict[str, object] = {
        "model": conversation.adapter or BASE_MODEL,
        "messages": [{"role": "user", "content": now.question.text}],
        "max_tokens": len(now.answer.tokens),
        "stream": True,
    }
    headers = {"x-session-id": conversation.session} if conversation.session else {}
    return Rendered("/v1/chat/completions", headers, body)
