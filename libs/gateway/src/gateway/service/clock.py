"""The only place in the services that reads a clock. Shells take a `Clock`; the core takes `now`."""

import time
from collections.abc import Callable

Clock = Callable[[], float]

monotonic: Clock = time.monotonic  # seconds, for intervals
wall: Clock = time.time  # noqa: TID251 - seconds since the epoch, only for stamps that people or other systems read
