"""JSONL with a request a line: a picker's recording (docs/recording.md), and Mooncake's published traces. Pure.

Mooncake: `timestamp` in milliseconds, `input_length`, `output_length`, `hash_ids` of blocks of 512 tokens. A recording
has the same fields and more. Its lengths are estimates of four bytes a token: where servers counted, all of them are
put right by the one ratio of the whole file, so that equal blocks stay equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.traces import fields
from lab.traces.trace import TracedRequest

MOONCAKE_BLOCK_TOKENS = 512
RATIO_LIMITS = (0.25, 4.0)
"""Of counted tokens to estimated ones; beyond them the counts mean something else."""
BLOCK_LIMIT = 65_536


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether a line is of this format."""
    return "timestamp" in record


def request_of(record: Mapping[str, Any]) -> tuple[TracedRequest, int | None]:
    """A line's request, and its prompt's tokens as the server counted them."""
    size = MOONCAKE_BLOCK_TOKENS if record.get("block_size") is None else fields.tokens(record, "block_size")
    if not 1 <= size <= BLOCK_LIMIT:
        raise fields.FieldError(f"block_size: expected 1 to {BLOCK_LIMIT}, got {size}")
    counted = _optional_tokens(record, "prompt_tokens")
    cached = _optional_tokens(record, "cached_tokens")
    request = TracedRequest(
        at=fields.milliseconds(record, "timestamp"),
        prompt_tokens=fields.tokens(record, "input_length"),
        output_tokens=_optional_tokens(record, "output_length"),
        blocks=fields.integers(record, "hash_ids"),
        block_tokens=size,
        session=fields.word(record, "session_id"),
        duration=_optional_seconds(record, "duration_ms"),
        pool=fields.word(record, "pool"),
        adapter=fields.word(record, "adapter"),
        cached_share=min(1.0, cached / counted) if counted and cached is not None else None,
        first_token=_optional_seconds(record, "ttft_ms"),
    )
    return request, counted


def _optional_tokens(record: Mapping[str, Any], name: str) -> int | None:
    return None if record.get(name) is None else fields.tokens(record, name)


def _optional_seconds(record: Mapping[str, Any], name: str) -> float | None:
    return None if record.get(name) is None else fields.milliseconds(record, name)


def calibrated(read: Sequence[tuple[TracedRequest, int | None]]) -> list[TracedRequest]:
    """All requests with the tokens that servers counted, as far as they did."""
    counted = sum(count for _, count in read if count)
    estimated = sum(request.prompt_tokens for request, count in read if count)
    ratio = counted / estimated if counted and estimated else 1.0
    ratio = min(RATIO_LIMITS[1], max(RATIO_LIMITS[0], ratio))
    if ratio == 1.0:
        return [request for request, _ in read]
    return [
        replace(
            request,
            prompt_tokens=round(request.prompt_tokens * ratio),
            block_tokens=max(1, round(request.block_tokens * ratio)),
        )
        for request, _ in read
    ]
