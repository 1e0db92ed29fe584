"""A feedback as JSON, and back: checked by type, since another version wrote it. Pure."""

from typing import Final

import orjson

from epp.domain import EndpointId, Feedback, PickId, PoolId
from epp.sharing.fields import MalformedError

_FIELDS: Final = Feedback._fields
_NUMBERS: Final = (
    "status",
    "attempts",
    "failed_attempt",
    "ttft_seconds",
    "duration_seconds",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "response_bytes",
)


def write(feedback: Feedback) -> bytes:
    """An object of its fields."""
    return orjson.dumps(feedback._asdict())


def read(payload: bytes) -> Feedback:
    """Fields that this version does not know are left out; raises MalformedError."""
    fields = orjson.loads(payload)
    known = {name: fields[name] for name in _FIELDS if name in fields}
    flags = known.pop("flags", ())
    if not isinstance(known.get("pick_id"), str) or not isinstance(flags, list | tuple):
        raise MalformedError("not a feedback")
    for name in _NUMBERS:
        value = known.get(name)
        if not isinstance(value, int | float | None) or (value is not None and value < 0):
            raise MalformedError(f"{name} is no count")
    if not isinstance(known.get("stored_id"), str | None):
        raise MalformedError("stored_id is no text")
    if not isinstance(known.get("is_streamed", False), bool):
        raise MalformedError("is_streamed is no truth")
    if known.get("attempts", 1) is None:
        raise MalformedError("attempts are missing")
    served, pick_id, pool = known.pop("served", None), str(known.pop("pick_id")), str(known.pop("pool", ""))
    return Feedback(
        pick_id=PickId(pick_id),
        pool=PoolId(pool),
        served=None if served is None else EndpointId(str(served)),
        flags=tuple(str(flag) for flag in flags),
        is_final=bool(known.pop("is_final")),
        **known,
    )
