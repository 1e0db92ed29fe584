"""What every test may use: free ports, and tools that are skipped on a laptop but must be there in CI."""

import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of 127.0.0.1 that nobody listens on now; all held at once, so that no two are the same."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


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
