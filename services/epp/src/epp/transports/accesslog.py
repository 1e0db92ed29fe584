"""Access-log entries become feedback for the picker. Pure.

An entry belongs to a pick by the id that the picker itself wrote into dynamic metadata, under the namespace of
whichever transport answered. Entries without one (another filter's reply, a foreign route) are only counted.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from epp.domain import (
    TOKEN_LIMIT,
    EndpointId,
    Feedback,
    FeedbackForwarded,
    PickId,
    PoolId,
    SharedEvent,
    replica_of,
    stored_id_of,
)
from epp.transports.picker import FeedbackSink
from gateway.accesslog.entries import LogEntry
from gateway.wire.protocol import (
    ATTEMPT_PICK_TAG,
    ATTEMPT_TAG,
    CACHE_CREATION_TOKENS,
    CACHE_READ_TOKENS,
    CACHED_TOKENS,
    COMPLETION_TOKENS,
    EXT_AUTHZ_NAMESPACE,
    LACKS_END,
    LB_NAMESPACE,
    PICK_ID,
    PROMPT_TOKENS,
    REASONING_TOKENS,
    STORED_ID,
    TTFT_TAG,
    USAGE_NAMESPACE,
)
from gateway.wire.quotas import STREAMED
from gateway.wire.usage import whole_prompt

# What is read of an entry's metadata and tags.
METADATA: Mapping[str, tuple[str, ...]] = {
    LB_NAMESPACE: (PICK_ID,),
    EXT_AUTHZ_NAMESPACE: (PICK_ID,),
    USAGE_NAMESPACE: (
        PROMPT_TOKENS,
        COMPLETION_TOKENS,
        CACHED_TOKENS,
        CACHE_READ_TOKENS,
        CACHE_CREATION_TOKENS,
        REASONING_TOKENS,
        STORED_ID,
        LACKS_END,
        STREAMED,
    ),
}
TAGS = (TTFT_TAG, ATTEMPT_PICK_TAG, ATTEMPT_TAG)
# Other replicas are taken to pass entries on for so long after the last one: a quiet time must not look like a missing
# log.
FORWARDED_SECONDS = 300.0

NOTHING: Mapping[str, object] = {}
_ANY_POOL = PoolId("")


class LogMetrics(Protocol):
    """What an operator counts."""

    def logged(self, finals: int, heartbeats: int, strangers: int) -> None:
        """A batch arrived."""


def read(entry: LogEntry) -> Feedback | None:
    """The feedback in one entry; None for one that belongs to no pick."""
    if ATTEMPT_TAG in entry.tags:
        return _failed_attempt(entry)
    pick_id = _text(entry, LB_NAMESPACE) or _text(entry, EXT_AUTHZ_NAMESPACE)
    if not pick_id:
        return None
    usage = entry.metadata.get(USAGE_NAMESPACE, NOTHING)
    flags = (*entry.flags, LACKS_END) if LACKS_END in usage else entry.flags
    return Feedback(  # by position, which takes half the time; the picker knows the pool by the pick
        PickId(pick_id), _ANY_POOL, entry.is_final, EndpointId(entry.upstream) if entry.upstream else None,
        entry.status, flags, max(1, entry.attempts), _milliseconds(entry.tags.get(TTFT_TAG, "")),
        entry.duration_seconds, _prompt_tokens(usage), _tokens(usage.get(COMPLETION_TOKENS)),
        _tokens(usage.get(CACHED_TOKENS)), entry.response_bytes, stored_id_of(usage.get(STORED_ID)), None,
        _tokens(usage.get(REASONING_TOKENS)), STREAMED in usage,
    )  # fmt: skip


def _failed_attempt(entry: LogEntry) -> Feedback:
    """One attempt of a request."""
    number = _tokens(entry.tags[ATTEMPT_TAG]) or 1
    return Feedback(
        pick_id=PickId(entry.tags.get(ATTEMPT_PICK_TAG, "")),
        pool=PoolId(""),
        is_final=False,
        served=EndpointId(entry.upstream) if entry.upstream else None,
        status=entry.status,
        flags=entry.flags,
        duration_seconds=entry.duration_seconds,
        failed_attempt=number,
    )


class FeedbackIntake:
    """Takes batches to the picker."""

    def __init__(self, sink: FeedbackSink, metrics: LogMetrics) -> None:
        self._sink = sink
        self._metrics = metrics

    def receive(self, entries: tuple[LogEntry, ...], now: float) -> None:
        """One message of the access log."""
        finals = heartbeats = attempts = 0
        for entry in entries:
            feedback = read(entry)
            if feedback is not None:
                self._sink.observe(feedback, now)
                finals += feedback.is_final
                attempts += feedback.failed_attempt is not None
                heartbeats += not feedback.is_final and feedback.failed_attempt is None
        self._metrics.logged(finals, heartbeats, len(entries) - finals - heartbeats - attempts)


class LogSight:
    """Whether the access log reports this replica's requests: to it, or to another replica that passes entries on.

    A proxy's workers send their logs to one replica each, so one may get none and still learn of every request.
    """

    def __init__(self, replica: str, is_attached: Callable[[], bool]) -> None:
        self._replica = replica
        self._is_attached = is_attached
        self._until = float("-inf")

    def shared(self, event: SharedEvent, now: float) -> None:
        """Another replica passed something on."""
        if isinstance(event, FeedbackForwarded) and replica_of(event.feedback.pick_id) == self._replica:
            self._until = now + FORWARDED_SECONDS

    def is_logged(self, now: float) -> bool:
        """Whether an entry will come for a request that ends now."""
        return self._is_attached() or now < self._until


def _prompt_tokens(usage: Mapping[str, object]) -> int | None:
    counted, read = _tokens(usage.get(PROMPT_TOKENS)), _tokens(usage.get(CACHE_READ_TOKENS))
    return whole_prompt(counted, read, _tokens(usage.get(CACHE_CREATION_TOKENS)))


def _text(entry: LogEntry, namespace: str) -> str:
    value = entry.metadata.get(namespace, NOTHING).get(PICK_ID)
    return value if isinstance(value, str) else ""


def _milliseconds(text: str) -> float | None:
    return int(text) / 1000 if text.isascii() and text.isdecimal() else None


def _tokens(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = float(value)
    return int(value) if isinstance(value, int | float) and 0 <= value < TOKEN_LIMIT else None
