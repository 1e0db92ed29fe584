"""One served request as a line of JSON; docs/recording.md has the fields. Pure.

Hashes of blocks and sessions are keyed, so that nobody who has the file can try out guesses of what was said. They fit
into 53 bits, which any reader of JSON keeps exact.
"""

from hashlib import blake2b

import orjson

from epp.recording.served import Served

_HASH_BYTES = 8
_SPARE_BITS = 11


def line_of(served: Served, started_at: float, key: bytes) -> bytes:
    """The line, with its end. `started_at` is where times count from, in seconds since the epoch."""
    placement, feedback, adapter = served
    fields: dict[str, object] = {
        "timestamp": round(1000 * (started_at + placement.placed_at)),
        "input_length": placement.prompt_tokens,
        "output_length": feedback.completion_tokens,
        "hash_ids": [_hash(block.to_bytes(8, "big"), key) for block in placement.blocks],
        "block_size": placement.block_tokens,
        "session_id": placement.session and f"{_hash(placement.session.encode(), key):x}",
        "pool": placement.pool,
        "model": placement.target_model,
        "adapter": adapter,
        "endpoint": feedback.served or placement.primary.id,
        "status": feedback.status,
        "prompt_tokens": feedback.prompt_tokens,
        "cached_tokens": feedback.cached_tokens,
        "ttft_ms": _milliseconds(feedback.ttft_seconds),
        "duration_ms": _milliseconds(feedback.duration_seconds),
    }
    return orjson.dumps({name: value for name, value in fields.items() if value is not None}) + b"\n"


def _hash(data: bytes, key: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=_HASH_BYTES, key=key).digest(), "big") >> _SPARE_BITS


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
