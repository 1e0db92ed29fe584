"""The answers of a simulated model, written whole before the engine runs: the engine only decides when.

An answer is a list of tokens with the text each one adds. `random` cuts sentences from the corpus to a natural or
demanded length; `echo` repeats; a tool call or a JSON object is written to fit its schema.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from random import Random
from typing import Any

import orjson

from model_sim.text import schemas
from model_sim.text.corpus import Corpus
from model_sim.text.tokenizer import Tokenizer

NATURAL_MEDIAN_TOKENS = 128
NATURAL_SIGMA = 0.7
"""Answer lengths are log-normal: half below the median, a tenth above 2.5 times it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What of a request's sampling parameters shapes the answer."""

    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    include_stop: bool = False
    seed: int | None = None
    n: int = 1
    logprobs: int | None = None
    """How many alternatives to report beside the chosen token; None: no log probabilities."""
    schema: Mapping[str, Any] | None = None
    """The answer is a JSON value of this schema."""
    requested_max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Tokens, the text each adds (empty where it is held back), and how the answer ends."""

    tokens: Sequence[int]
    pieces: Sequence[str]
    finish_reason: str
    stop_reason: str | int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    call_of_token: Sequence[int] = ()
    """For an answer that calls tools: the call whose arguments each token adds to; -1 before the first."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def random_answer(sampling: Sampling, random: Random, corpus: Corpus, tokenizer: Tokenizer) -> Answer:
    """Sentences of natural length within the limits."""
    sentence = random.randrange(len(corpus.starts))
    wanted = max(1, round(exp(random.gauss(log(NATURAL_MEDIAN_TOKENS), NATURAL_SIGMA))))
    wanted = max(wanted, sampling.min_tokens)
    length = corpus.sentence_end(sentence, wanted)
    complete = length < sampling.max_tokens and not sampling.ignore_eos
    if sampling.schema is not None:
        text = orjson.dumps(schemas.instance(sampling.schema, random)).decode()
        return text_answer(text, sampling, tokenizer)
    tokens, pieces = corpus.cut(sentence, length if complete else sampling.max_tokens)
    if complete:
        tokens.append(tokenizer.end_of_turn)
        pieces.append("")
    answer = Answer(tokens, pieces, "stop" if complete else "length")
    return stopped(answer, sampling)


def text_answer(text: str, sampling: Sampling, tokenizer: Tokenizer) -> Answer:
    """A given text, cut to the limit."""
    tokens = tokenizer.encode(text)
    pieces = tokenizer.pieces(tokens)
    if len(tokens) < sampling.max_tokens and not sampling.ignore_eos:
        return stopped(Answer([*tokens, tokenizer.end_of_turn], [*pieces, ""], "stop"), sampling)
    if len(tokens) < sampling.max_tokens:  # ignore_eos: repeat the text
        repeats = -(-sampling.max_tokens // max(1, len(tokens)))
        tokens, pieces = (tokens or [tokenizer.end_of_turn]) * repeats, (pieces or [""]) * repeats
    cut = sampling.max_tokens
    return stopped(Answer(tokens[:cut], pieces[:cut], "length"), sampling)


def stopped(answer: Answer, sampling: Sampling) -> Answer:
    """End the answer at the first stop string or stop token after `min_tokens`, as vLLM does."""
    by_token = _stop_token(answer, sampling)
    by_text = _stop_string(answer, sampling)
    if by_token is not None and (by_text is None or len(by_token.tokens) <= len(by_text.tokens)):
        return by_token
    return by_text or answer


def _stop_token(answer: Answer, sampling: Sampling) -> Answer | None:
    if not sampling.stop_token_ids:
        return None
    for index, token in enumerate(answer.tokens):
        if index >= sampling.min_tokens and token in sampling.stop_token_ids:
            end = index + 1
            pieces = [*answer.pieces[:index], answer.pieces[index] if sampling.include_stop else ""]
            return replace(answer, tokens=answer.tokens[:end], pieces=pieces, finish_reason="stop", stop_reason=token)
    return None


def _stop_string(answer: Answer, sampling: Sampling) -> Answer | None:
    if not sampling.stop:
        return None
    offset = sum(map(len, answer.pieces[: sampling.min_tokens]))
    text = answer.text
    found = [(at + len(stop), at, stop) for stop in sampling.stop if stop and (at := text.find(stop, offset)) >= 0]
    if not found:
        return None
    end, start, stop = min(found)
    keep = end if sampling.include_stop else start
    pieces: list[str] = []
    length = 0
    for piece in answer.pieces:
        if length >= end:
            break
        pieces.append(piece[: max(0, keep - length)])
        length += len(piece)
    return replace(answer, tokens=answer.tokens[: len(pieces)], pieces=pieces, finish_reason="stop", stop_reason=stop)


def tool_answer(calls: Sequence[ToolCall], sampling: Sampling, tokenizer: Tokenizer) -> Answer:
    """Tool calls as a model writes them: a token for each name, then the arguments piece by piece."""
    tokens: list[int] = []
    pieces: list[str] = []
    call_of_token: list[int] = []
    for index, call in enumerate(calls):
        name = tokenizer.encode(f'{{"name": "{call.name}", "arguments": ')
        arguments = tokenizer.encode(call.arguments)
        tokens += name + arguments
        pieces += [""] * len(name) + tokenizer.pieces(arguments)
        call_of_token += [index] * (len(name) + len(arguments))
    cut = sampling.max_tokens
    reason = "tool_calls" if len(tokens) <= cut else "length"
    return Answer(tokens[:cut], pieces[:cut], reason, tool_calls=tuple(calls), call_of_token=tuple(call_of_token[:cut]))
