"""AgentX traces: JSON with a coding agent's session an object: hashes of blocks, lengths, times and subagents. Pure.

`requests` have `type` (`n`, or `s` for a streamed one), `t` (seconds from the session's start), `in` and `out`
(tokens), `hash_ids` of blocks of `block_size` tokens, `api_time`; a `subagent` holds requests of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lab.traces import fields
from lab.traces.trace import TracedRequest

BLOCK_TOKENS = 64
BLOCK_LIMIT = 65_536
DEPTH_LIMIT = 16
_TYPES = frozenset(("n", "s"))


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether an object is of this format."""
    return "requests" in record


def requests_of(record: Mapping[str, Any], number: int) -> Iterator[TracedRequest]:
    """A session's requests, each subagent as a session of its own beside it; times count from the session's start."""
    size = BLOCK_TOKENS if record.get("block_size") is None else fields.tokens(record, "block_size")
    if not 1 <= size <= BLOCK_LIMIT:
        raise fields.FieldError(f"block_size: expected 1 to {BLOCK_LIMIT}, got {size}")
    pending = [(str(number), 0, record)]
    while pending:
        name, depth, holder = pending.pop()
        for at, each in enumerate(fields.items(holder, "requests")):
            kind = fields.word(each, "type")
            if kind == "subagent" and depth < DEPTH_LIMIT:
                pending.append((f"{name}.{at}", depth + 1, each))
            elif kind in _TYPES:
                yield _request(each, size, name)
            else:
                raise fields.FieldError(f"requests[{at}].type: expected n, s or subagent, got {fields.shown(kind)}")


def _request(each: Mapping[str, Any], size: int, session: str) -> TracedRequest:
    return TracedRequest(
        at=fields.seconds(each, "t"),
        prompt_tokens=fields.tokens(each, "in"),
        output_tokens=fields.tokens(each, "out"),
        blocks=fields.integers(each, "hash_ids"),
        block_tokens=size,
        session=session,
        duration=fields.seconds(each, "api_time", 0.0),
    )
