"""What every test may use: free ports, and tools that are skipped on a laptop but must be there in CI.

`make test` runs the tests in several processes. Those of one group run in one process, one after the other: the tests
of a file, which may share a fixture, and the tests of all files that share a stack.
"""

import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# Below the range from which the kernel takes the local ports of outgoing connections (32768 and up on Linux): one of
# those could take a port between the moment it was found free and the moment a server binds it.
PORTS = range(12_000, 32_000)


def ports_of_this_process() -> range:
    """Each process of a parallel run has a share of its own: no port is given to two of them."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = len(PORTS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return PORTS[worker * share : (worker + 1) * share]


def _cycle(ports: range) -> Iterator[int]:
    start = os.getpid() * 97 % len(ports)  # two runs at once seldom meet
    return itertools.cycle([*ports[start:], *ports[:start]])


_next_port = _cycle(ports_of_this_process())


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of 127.0.0.1 that nobody listens on now, one after the other; none is given twice for a long while."""
    found: list[int] = []
    while len(found) < count:
        port = next(_next_port)
        if is_free(port):
            found.append(port)
        else:
            found.clear()  # a run must have no gap
    return tuple(found)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class SharedFixturesTogether(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of a file in one process, and those of all files that share the session's stacks."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "stacks" if path.startswith(("tests/e2e/test_", "tests/field/")) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedFixturesTogether:
    return SharedFixturesTogether(config, log)


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
