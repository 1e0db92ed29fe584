"""The end of a run without a cut answer: Envoy takes no new connection and finishes what is in flight.

honcho ends all processes at once, so this comes before it. It never waits for longer than the services themselves do.
"""

import time
import urllib.request
from collections.abc import Callable

from processes.plan import HOST, Ports

DRAIN_SECONDS = 30.0  # as long as each service drains after SIGTERM
_POLL_SECONDS = 0.1
_OWN = "http.admin."  # the admin port counts its own requests, too


def drain(ports: Ports, is_hurried: Callable[[], bool]) -> None:
    """Close Envoy's listeners and wait for the answers in flight; less long where somebody is in a hurry."""
    try:
        _admin(ports, "/drain_listeners", b"")
        deadline = time.monotonic() + DRAIN_SECONDS
        while in_flight(_admin(ports, "/stats?filter=downstream_rq_active")) and time.monotonic() < deadline:
            if is_hurried():
                return
            time.sleep(_POLL_SECONDS)
    except OSError:
        return  # Envoy is gone, and nothing is in flight


def in_flight(stats: str) -> int:
    """Requests that have no whole answer yet, of Envoy's statistics as text."""
    lines = (line.partition(": ") for line in stats.splitlines() if not line.startswith(_OWN))
    return sum(int(value) for _, _, value in lines if value.isdigit())


def _admin(ports: Ports, path: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{ports.envoy_admin}{path}", data=body, timeout=2) as response:
        return str(response.read(), "utf-8")
