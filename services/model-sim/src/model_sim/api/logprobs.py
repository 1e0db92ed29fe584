"""Invented log probabilities: plausible, and the same for the same token. Pure."""

from collections.abc import Sequence
from typing import Any

from model_sim.text.tokenizer import Tokenizer

_STEP = 0.75
"""Each alternative is this much less likely than the one before."""


def chosen(token: int) -> float:
    """Between -0.02 and -1.3."""
    return -0.02 - (token * 2654435761 % 128) / 100


def alternatives(token: int, count: int, tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """The chosen token and less likely ones, `count` in all."""
    best = chosen(token)
    others = tokenizer.pieces([97 + (token + offset) % 26 for offset in range(1, count)])
    return [(piece, best - _STEP * (rank + 1)) for rank, piece in enumerate(others)]


def chat(tokens: Sequence[int], pieces: Sequence[str], count: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """The `logprobs` object of a chat choice."""
    content = []
    for token, piece in zip(tokens, pieces, strict=True):
        entry = _entry(piece, chosen(token))
        top = [dict(entry)] if count else []
        top += [_entry(text, value) for text, value in alternatives(token, count, tokenizer)]
        content.append({**entry, "top_logprobs": top})
    return {"content": content}


def completion(
    tokens: Sequence[int], pieces: Sequence[str], count: int, offset: int, tokenizer: Tokenizer
) -> dict[str, Any]:
    """The `logprobs` object of a completion choice."""
    offsets = []
    for piece in pieces:
        offsets.append(offset)
        offset += len(piece)
    top = [
        {piece: chosen(token), **dict(alternatives(token, count, tokenizer))}
        for token, piece in zip(tokens, pieces, strict=True)
    ]
    return {
        "text_offset": offsets,
        "token_logprobs": [chosen(token) for token in tokens],
        "tokens": list(pieces),
        "top_logprobs": top,
    }


def _entry(piece: str, value: float) -> dict[str, Any]:
    return {"token": piece, "logprob": value, "bytes": list(piece.encode("utf-8", "replace"))}
