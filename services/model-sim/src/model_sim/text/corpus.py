"""A stock of tokenised sentences from which random answers are cut: cheap at any length, and equal for equal seeds."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from model_sim.text.tokenizer import Tokenizer

SENTENCES = 600
"""About ten thousand tokens: long answers repeat, and nobody reads them."""

_SUBJECTS = (
    "The scheduler", "A queue", "The cache", "Every request", "The gateway", "A replica", "The model", "A block",
    "The first token", "An adapter", "The batch", "A careful operator", "The prompt", "The network", "A long answer",
    "The weather", "An old map", "The river", "A quiet morning", "The library",
)  # fmt: skip
_VERBS = (
    "waits for", "moves past", "remembers", "shares", "follows", "measures", "returns to", "holds", "depends on",
    "balances", "describes", "keeps", "surprises", "explains", "outlives", "welcomes",
)  # fmt: skip
_OBJECTS = (
    "its neighbours", "the next step", "a free slot", "the longest prefix", "an idle server", "two other tasks",
    "the same answer", "a small delay", "the rest of the sentence", "what came before", "a simple rule",
    "the evening train", "a cup of tea", "the far shore", "many small things", "an open question",
)  # fmt: skip
_ENDS = (
    "", " without hurry", " for a while", " before noon", " in the end", " and then stops", " as expected",
    " under load", " most of the time", " on a good day",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Corpus:
    """Token ids and their text, side by side, with the index at which each sentence starts."""

    tokens: Sequence[int]
    pieces: tuple[str, ...]
    starts: tuple[int, ...]
    openings: tuple[tuple[int, tuple[int, ...], tuple[str, ...]], ...]
    """For each sentence without its leading space: tokens replaced, and what replaces them."""

    def cut(self, sentence: int, length: int) -> tuple[list[int], list[str]]:
        """`length` tokens from the start of a sentence on, around the end of the stock if need be."""
        start = self.starts[sentence % len(self.starts)]
        skipped, tokens, pieces = self.openings[sentence % len(self.starts)]
        ids, texts = list(tokens), list(pieces)
        position, size = start + skipped, len(self.tokens)
        while len(ids) < length:
            take = min(length - len(ids), size - position)
            ids.extend(self.tokens[position : position + take])
            texts.extend(self.pieces[position : position + take])
            position = 0
        return ids[:length], texts[:length]

    def sentence_end(self, sentence: int, length: int) -> int:
        """The first length not below `length` at which a cut ends with a whole sentence."""
        index = sentence % len(self.starts)
        start = self.starts[index]
        skipped, tokens, _ = self.openings[index]
        shift = len(tokens) - skipped
        size = len(self.tokens)
        rounds, offset = divmod(start + length - shift, size)
        place = bisect_left(self.starts, offset)
        end = self.starts[place] if place < len(self.starts) else size
        return rounds * size + end - start + shift


def build(random: Random, tokenizer: Tokenizer) -> Corpus:
    """Write and tokenise the sentences."""
    tokens = array("q")
    pieces: list[str] = []
    starts: list[int] = []
    openings: list[tuple[int, tuple[int, ...], tuple[str, ...]]] = []
    for _ in range(SENTENCES):
        words = (random.choice(_SUBJECTS), random.choice(_VERBS), random.choice(_OBJECTS))
        sentence = f" {' '.join(words)}{random.choice(_ENDS)}."
        ids = tokenizer.encode(sentence)
        bare = tokenizer.encode(sentence[1:])
        starts.append(len(tokens))
        openings.append((len(ids), tuple(bare), tuple(tokenizer.pieces(bare))))
        tokens.extend(ids)
        pieces.extend(tokenizer.pieces(ids))
    return Corpus(tokens=tokens, pieces=tuple(pieces), starts=tuple(starts), openings=tuple(openings))
