"""One entry of Envoy's access log as a plain value. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class LogEntry(NamedTuple):
    """What is read of one entry. `metadata` and `tags` hold what is wanted; 0 attempts were never counted.

    A tuple, which costs least to make: there is one for each request.
    """

    is_final: bool
    upstream: str  # address:port, empty when no upstream was reached
    status: int | None
    flags: tuple[str, ...]
    attempts: int
    duration_seconds: float | None
    tags: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, object]]
    response_bytes: int = 0  # of the body, so far
