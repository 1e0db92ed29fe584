"""The stack under test, once per session: as processes and, with a container engine, through Docker Compose."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.conftest import free_ports
from tests.e2e.compose import compose_stack
from tests.e2e.stack import PORT_COUNT, Stack, free_stack_ports, process_stack

# A prompt of 20 MB is five million tokens for the built-in tokenizer; the context must not be what refuses it.
ROOMY = ("--max-model-len", "16000000", "--num-gpu-blocks", "2000000")


@pytest.fixture(scope="session")
def processes(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo as processes on free ports."""
    run = tmp_path_factory.mktemp("stack")
    ports = free_stack_ports(free_ports(PORT_COUNT))
    with process_stack(root, run, envoy_binary, ports, simulator_options=ROOMY) as stack:
        yield stack


@pytest.fixture(scope="session")
def composed(root: Path) -> Iterator[str]:
    """The demo in containers; its URL."""
    with compose_stack(root, free_ports(1)[0]) as url:
        yield url


@pytest.fixture(params=["processes", pytest.param("compose", marks=pytest.mark.docker)], scope="session")
def gateway(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the gateway, through either driver: what holds for one must hold for the other."""
    url = (
        request.getfixturevalue("composed") if request.param == "compose" else request.getfixturevalue("processes").url
    )
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
