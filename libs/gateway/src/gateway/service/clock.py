"""The only place in the services that reads a clock. Shells take a `Clock`; the core takes `now`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]

monotonic: Clock = time.monotonic  # seconds, for intervals
wall: Clock = time.time  # noqa: TID251 - seconds since the epoch, only for stamps that people or other systems read


def now() -> datetime:
    """The date and the time of day, in UTC."""
    return datetime.now(UTC)


def stamp() -> str:
    """The same as Kubernetes writes it, to the second."""
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_stamp() -> str:
    """The same to the microsecond."""
    return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
