"""The stack under test: as processes through either door of the picker, and in containers through Compose."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.conftest import free_ports
from tests.e2e.compose import compose_stack
from tests.e2e.stack import (
    GRPCIO,
    PORT_COUNT,
    READY_SECONDS,
    Stack,
    all_are_well,
    free_stack_ports,
    process_stack,
    wait_until,
)  # fmt: skip

# A prompt of 20 MB is five million tokens for the built-in tokenizer; the context must not be what refuses it.
ROOMY = ("--max-model-len", "16000000", "--num-gpu-blocks", "2000000")
DOORS = ("ext_proc", "http")
# ext_proc on the second transport of gRPC as well: for what differs by transport, which is requests and restarts.
TRANSPORTS = ("ext_proc", GRPCIO, "http")
# As clients see it, with the router in the picker's process, too.
WAYS = (*TRANSPORTS, "fused")


@pytest.fixture(scope="session")
def ext_proc_stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo as processes, asking by gRPC ext_proc."""
    with _stack("ext_proc", root, envoy_binary, tmp_path_factory) as stack:
        yield stack


@pytest.fixture(scope="session")
def grpcio_stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo as processes, asking by gRPC ext_proc that grpc.aio serves."""
    with _stack(GRPCIO, root, envoy_binary, tmp_path_factory) as stack:
        yield stack


@pytest.fixture(scope="session")
def http_stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo as processes, asking by plain HTTP."""
    with _stack("http", root, envoy_binary, tmp_path_factory) as stack:
        yield stack


@pytest.fixture(scope="session")
def fused_stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo as processes, with the body-based router in the picker's."""
    with _stack("ext_proc", root, envoy_binary, tmp_path_factory, is_fused=True) as stack:
        yield stack


def _stack(
    door: str, root: Path, envoy: Path, folders: pytest.TempPathFactory, **settings: bool
) -> AbstractContextManager[Stack]:
    ports = free_stack_ports(free_ports(PORT_COUNT))
    return process_stack(root, folders.mktemp(door), envoy, ports, picker=door, simulator_options=ROOMY, **settings)


@pytest.fixture(params=DOORS, scope="session")
def processes(request: pytest.FixtureRequest) -> Stack:
    """The demo as processes, through each door: what holds for one must hold for the other."""
    stack = request.getfixturevalue(f"{request.param}_stack")
    assert isinstance(stack, Stack)
    return stack


@pytest.fixture
def client(processes: Stack) -> Iterator[httpx.Client]:
    """A client of the stack, whose servers are all well: what an earlier test did to one has passed."""
    wait_until(lambda: all_are_well(processes), READY_SECONDS)
    with httpx.Client(base_url=processes.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def composed(root: Path) -> Iterator[str]:
    """The demo in containers; its URL."""
    with compose_stack(root, free_ports(1)[0]) as url:
        yield url


@pytest.fixture(params=[*WAYS, pytest.param("compose", marks=pytest.mark.docker)], scope="session")
def gateway(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the gateway, through either door and either driver."""
    if request.param == "compose":
        url = request.getfixturevalue("composed")
    else:
        url = request.getfixturevalue(f"{request.param}_stack").url
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
