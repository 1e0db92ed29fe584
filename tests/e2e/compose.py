"""The demo through Docker Compose: the compose file of the README, built here, published on a free loopback port."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testcontainers.compose import DockerCompose

from tests.conftest import required

PROJECT = "pointsman-test"


@contextmanager
def compose_stack(root: Path, port: int) -> Iterator[str]:
    """`docker compose up --build --wait`, and down again with its volumes."""
    answers = subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    required("a container engine", answers, install="install Docker with Compose v2 and start it")
    before = dict(os.environ)
    os.environ |= {"GATEWAY_PORT": str(port), "COMPOSE_PROJECT_NAME": PROJECT, "TAG": "test"}
    try:
        with DockerCompose(str(root), build=True, wait=True, keep_volumes=False):
            yield f"http://127.0.0.1:{port}"
    finally:
        os.environ.clear()
        os.environ |= before


def compose(root: Path, *arguments: str) -> str:
    """Run one docker compose command against the stack under test."""
    result = subprocess.run(
        ["docker", "compose", "-p", PROJECT, *arguments],
        cwd=root, capture_output=True, text=True, check=True, env=os.environ | {"TAG": "test"},
    )  # fmt: skip
    return result.stdout


def docker(*arguments: str) -> str:
    """Run one docker command."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout
