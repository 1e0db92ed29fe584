"""Tests on a real cluster: `make test-cluster` brings it up and runs them in its network; `make test` does not."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, free_ports

collect_ignore_glob = [] if os.environ.get("POINTSMAN_CLUSTER") else ["test_*.py"]

SECONDS = 90  # a Pod starts in some five; a missing resource is tried again after ten
DEFINITIONS = Path(__file__).with_name("definitions.yaml")
_numbers = itertools.count(os.getpid())


def kubectl(*arguments: str, text: str | None = None) -> str:
    """What it prints; it must succeed."""
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def put(namespace: str, *objects: dict[str, Any]) -> None:
    """Make or change objects; those of the whole cluster in whichever namespace."""
    kubectl("-n", namespace, "apply", "--server-side", "-f", "-", text=yaml.safe_dump_all(objects))


def eventually(holds: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    """A server that has just got a definition answers 429 for a moment; the cluster's own work takes seconds."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


@pytest.fixture(scope="session", autouse=True)
def definitions() -> None:
    """The kinds of the Inference Extension and the Gateway API, unless the cluster has them."""
    present = set(kubectl("get", "crd", "-o", "name").split())
    for each in yaml.safe_load_all(DEFINITIONS.read_text()):
        if f"customresourcedefinition.apiextensions.k8s.io/{each['metadata']['name']}" not in present:
            put("default", each)
            kubectl("wait", "--for=condition=Established", f"crd/{each['metadata']['name']}", "--timeout=60s")


@pytest.fixture
def namespace() -> Iterator[str]:
    """One of its own, which is deleted in the end."""
    name = f"test-{next(_numbers)}"
    kubectl("create", "namespace", name)
    eventually(lambda: kubectl("-n", name, "get", "serviceaccounts", "-o", "name").strip() != "")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def account(namespace: str, folder: Path) -> Path:
    """A kubeconfig with the rights of the namespace's default account and no more."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    token = kubectl("-n", namespace, "create", "token", "default", "--duration=1h").strip()
    config["users"][0]["user"] = {"token": token}
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


@dataclass(frozen=True)
class Service:
    """A running process of ours, with the port of its operators."""

    port: int
    health_port: int
    file: Path

    def get(self, path: str) -> str:
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{self.port}{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    @property
    def is_ready(self) -> bool:
        return self.get("/readyz") == "ready\n"

    def endpoints(self, pool: str) -> set[str]:
        """Addresses of a pool, as the picker knows them."""
        shown = self.get("/debug/pools")
        found = [each for each in (json.loads(shown)["pools"] if shown else ()) if each["pool"] == pool]
        return {endpoint["endpoint"].rpartition(":")[0] for each in found for endpoint in each["endpoints"]}

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines() if line.startswith("{")]


@contextmanager
def running(folder: Path, program: str, *arguments: str, kubeconfig: Path) -> Iterator[Service]:
    """One of our services, as a process in the cluster's network."""
    ports = free_ports(3)
    names = ("--grpc-port", "--grpc-health-port", "--metrics-port")
    flags = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    file = folder / f"{program}.log"
    command = [str(ROOT / ".venv" / "bin" / program), *arguments, "--host", "127.0.0.1", *flags]
    with file.open("w") as log:
        process = subprocess.Popen(command, stderr=log, env={**os.environ, "KUBECONFIG": str(kubeconfig)})
        try:
            yield Service(ports[2], ports[1], file)
        finally:
            process.terminate()
            process.wait(60)
