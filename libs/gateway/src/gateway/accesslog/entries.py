"""One entry of Envoy's access log as a plain value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What is read of one entry. `metadata` holds the wanted namespaces only; 0 attempts were never counted."""

    is_final: bool
    upstream: str  # address:port, empty when no upstream was reached
    status: int | None
    flags: tuple[str, ...]
    attempts: int
    duration_seconds: float | None
    tags: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, object]]
    response_bytes: int = 0  # of the body, so far
