"""What every test may use: free ports, and tools that are skipped on a laptop but must be there in CI."""

import itertools
import os
import shutil
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# Below the range from which the kernel takes the local ports of outgoing connections (32768 and up on Linux): one of
# those could take a port between the moment it was found free and the moment a server binds it.
PORTS = range(12_000, 32_000)
_next_port = itertools.cycle([*range(PORTS.start + os.getpid() * 97 % len(PORTS), PORTS.stop), *PORTS])


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of 127.0.0.1 that nobody listens on now, one after the other; none is given twice for a long while."""
    found: list[int] = []
    while len(found) < count:
        port = next(_next_port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                found.clear()  # a run must have no gap
            else:
                found.append(port)
    return tuple(found)


def required(tool: str, found: object, *, install: str) -> None:
    """Skip with a reason where a tool is absent on a laptop; fail where CI should have installed it."""
    if found:
        return
    reason = f"{tool} is absent: {install}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The real Envoy."""
    binary = Path(os.environ.get("POINTSMAN_ENVOY", ROOT / ".tools" / "envoy" / "bin" / "envoy"))
    required("Envoy", binary.exists(), install="run 'make setup'")
    return binary


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    """Debian's redis-server."""
    binary = shutil.which("redis-server")
    required("redis-server", binary, install="apt-get install redis-server")
    return Path(str(binary))
