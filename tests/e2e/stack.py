"""The demo stack for tests: the plan of `make up` on free ports, or the same compose file, behind one interface."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx

from pointsman.demo import with_ports
from processes import plan
from processes.plan import HOST, Layout, Ports, Process, Settings
from tests.conftest import free_ports, is_free

GRPCIO = "grpcio"  # as `picker`: ext_proc, on the second transport of gRPC
READY_SECONDS = 90.0
STOP_SECONDS = 40.0


@dataclass
class Running:
    """One started process and its log."""

    process: Process
    popen: "subprocess.Popen[bytes]"
    log: Path

    def terminate(self) -> int:
        """SIGTERM, wait, return the exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(STOP_SECONDS)


@dataclass
class Stack:
    """A running stack: where clients connect, and each process by its name."""

    url: str
    settings: Settings
    running: dict[str, Running] = field(default_factory=dict)

    def start(self, process: Process, *, wait: bool = True) -> Running:
        """Start one process of the plan."""
        log = self.settings.layout.run / f"{process.name}.log"
        environment = os.environ | dict(process.environment) | {"PYTHONUNBUFFERED": "1"}
        with log.open("ab") as output:
            popen = subprocess.Popen(process.arguments, stdout=output, stderr=subprocess.STDOUT, env=environment)
        self.running[process.name] = running = Running(process, popen, log)
        if wait:
            wait_ready(running)
        return running

    def log(self, name: str) -> str:
        """Everything that a process has written so far."""
        return self.running[name].log.read_text(errors="replace")

    def close(self) -> None:
        """End every process by the id that was started."""
        for each in self.running.values():
            if each.popen.poll() is None:
                each.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for each in self.running.values():
            try:
                each.popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.popen.kill()
                each.popen.wait()


def wait_ready(running: Running) -> None:
    """Wait until a process answers on its ready URL."""
    wait_until(
        lambda: _ok(running), READY_SECONDS, lambda: f"{running.process.name}:\n{running.log.read_text()[-4000:]}"
    )


def _ok(running: Running) -> bool:
    if running.popen.poll() is not None:
        raise AssertionError(
            f"{running.process.name} ended with {running.popen.returncode}:\n{running.log.read_text()[-4000:]}"
        )
    try:
        return httpx.get(running.process.ready, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def completes(stack: Stack) -> bool:
    """Envoy has found the picker and the router healthy too; a 401 is a model server's that wants a key."""
    body = {"model": "phi-4-mini-instruct", "prompt": "ready?", "max_tokens": 1}
    return httpx.post(f"{stack.url}/v1/completions", json=body, timeout=10).status_code in (200, 401)


@contextmanager
def held_answers(stack: Stack, after_tokens: int) -> Iterator[None]:
    """While the body runs, answers longer than this stop there: nothing ends before the test lets it."""
    fault = {"hold": {"after_tokens": after_tokens}}
    for port in stack.settings.ports.simulators:
        httpx.post(f"http://{HOST}:{port}/admin/faults", json=fault).raise_for_status()
    try:
        yield
    finally:
        for port in stack.settings.ports.simulators:
            httpx.post(f"http://{HOST}:{port}/admin/faults", json={"hold": None}).raise_for_status()


def standing(stack: Stack, port: int) -> str:
    """What the picker thinks of a model server."""
    return next(str(each["standing"]) for each in known_endpoints(stack) if each["endpoint"].endswith(f":{port}"))


def all_are_well(stack: Stack) -> bool:
    """Whether each model server takes part in every decision, after a request for each pool: by answers they return."""
    for model in ("Qwen/Qwen3-32B", "phi-4-mini-instruct"):
        httpx.post(f"{stack.url}/v1/completions", json={"model": model, "prompt": "well?", "max_tokens": 1}, timeout=10)
    found = [(each["standing"], each["share"], each["is_fresh"]) for each in known_endpoints(stack)]
    return len(found) == len(stack.settings.ports.simulators) and set(found) == {("good", 1.0, True)}


def known_endpoints(stack: Stack) -> list[dict[str, Any]]:
    """What the picker knows of the endpoints of all pools."""
    answer = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/pools").raise_for_status()
    return [endpoint for pool in answer.json()["pools"] for endpoint in pool["endpoints"]]


def wait_until(claim: Any, seconds: float, describe: Any = lambda: "it never became true") -> None:
    """Poll a claim until it holds."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(describe())
        time.sleep(0.05)


def free_stack_ports(free: tuple[int, ...]) -> Ports:
    """Spread free ports over the fields of `Ports`."""
    gateway, admin, grpc, health, metrics, http, router, router_health, router_metrics, controlplane, *simulators = free
    return Ports(
        gateway=gateway,
        envoy_admin=admin,
        epp_grpc=grpc,
        epp_health=health,
        epp_metrics=metrics,
        epp_http=http,
        bbr_grpc=router,
        bbr_health=router_health,
        bbr_metrics=router_metrics,
        controlplane_http=controlplane,
        simulators=tuple(simulators),
    )


PORT_COUNT = 15


def free_ports_of_workers(workers: int) -> Ports:
    """Free ports of a stack; those of so many workers are free, too."""
    while True:
        ports = free_stack_ports(free_ports(PORT_COUNT))
        if all(map(is_free, ports.of_workers(workers).values())):
            return ports


def local_overlay(root: Path, target: Path, ports: Ports) -> Path:
    """The demo's overlay for processes with this stack's ports in place of the documented ones."""
    for file in sorted((root / "config" / "demo-local").glob("*.yaml")):
        target.mkdir(parents=True, exist_ok=True)
        (target / file.name).write_text(with_ports(file.read_text(), ports))
    return target


@contextmanager
def process_stack(root: Path, run: Path, envoy: Path, ports: Ports, **overrides: Any) -> Iterator[Stack]:
    """The whole plan as processes; ends them all."""
    layout = Layout(root=root, run=run, envoy=envoy, binaries=root / ".venv" / "bin")
    overlay = local_overlay(root, run / "overlay", ports)
    settings = Settings(
        ports=ports,
        layout=layout,
        config_dirs=(root / "config" / "demo", overlay),
        epp_config=root / "config" / "demo" / "epp.yaml",
        simulator_profile="instant",
    )
    if overrides.get("picker") == GRPCIO:
        overrides |= {"picker": "ext_proc", "grpc_transport": GRPCIO}
    settings = replace(settings, **overrides)
    layout.xds.mkdir(parents=True)
    subprocess.run(plan.render_arguments(settings), check=True, capture_output=True)
    stack = Stack(url=f"http://{HOST}:{ports.gateway}", settings=settings)
    try:
        for process in plan.processes(settings):
            stack.start(process, wait=False)
        for running in stack.running.values():
            wait_ready(running)
        wait_until(lambda: completes(stack), READY_SECONDS, lambda: stack.log("envoy")[-4000:])
        yield stack
    finally:
        stack.close()
