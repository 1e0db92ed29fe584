"""Published manifests on a stack of processes: the files as they stand, with what a cluster would add to them.

Each test writes an overlay that holds addresses alone, since those are what a cluster knows and a file does not.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx

from processes import plan
from processes.plan import HOST, Layout, Process, Settings
from tests.certificates import self_signed
from tests.conftest import free_ports
from tests.e2e.stack import PORT_COUNT, READY_SECONDS, Stack, free_stack_ports, wait_ready, wait_until


@dataclass(frozen=True)
class Served:
    """A model server on a port: the name of its model, where that lies, and further options of the simulator."""

    name: str
    model: str
    port: int
    root: str = ""
    options: tuple[str, ...] = ()

    def process(self, binaries: Path) -> Process:
        arguments = (str(binaries / "model-sim"), "serve", self.root or self.model, "--served-model-name", self.model)
        return Process(
            name=self.name,
            arguments=(*arguments, "--host", HOST, "--port", str(self.port), "--profile", "instant", *self.options),
            ready=f"http://{HOST}:{self.port}/health",
            environment={"POD_NAME": self.name},
        )


@dataclass(frozen=True)
class Staging:
    """What is laid around one document's manifests. `certificate` is the picker's, for TLS."""

    folders: Sequence[Path]
    servers: Sequence[Served] = ()
    picker: str = "ext_proc"
    certificate: Path | None = None
    default_picker: str = "default/epp:9002"


def slice_at(name: str, labels: Mapping[str, str], *ports: int, namespace: str = "default") -> str:
    """EndpointSlices for servers of this host, one for each port."""
    return "".join(
        f"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}-{index}, namespace: {namespace}, labels: {dict(labels)}}}\n"
        f"addressType: IPv4\nendpoints: [{{addresses: ['{HOST}']}}]\nports: [{{port: {port}}}]\n"
        for index, port in enumerate(ports)
    )


def picker_at(service: str, port: int, namespace: str = "default") -> str:
    """Where a picker's Service is."""
    return slice_at(service, {"kubernetes.io/service-name": service}, port, namespace=namespace)


def settings_for(root: Path, run: Path, envoy: Path, staging: Staging) -> Settings:
    """The plan of this run, on ports that are free."""
    return Settings(
        ports=free_stack_ports(free_ports(PORT_COUNT)),
        layout=Layout(root=root, run=run, envoy=envoy, binaries=root / ".venv" / "bin"),
        config_dirs=(*staging.folders, run / "addresses"),
        epp_config=root / "config" / "demo" / "epp.yaml",
        picker=staging.picker,
    )


@contextmanager
def staged(settings: Settings, staging: Staging, addresses: str) -> Iterator[Stack]:
    """The stack with these addresses; it ends with the block."""
    layout = settings.layout
    settings.config_dirs[-1].mkdir(parents=True)
    (settings.config_dirs[-1] / "addresses.yaml").write_text(addresses)
    layout.xds.mkdir(parents=True)
    subprocess.run(plan.render_arguments(settings), check=True, capture_output=True)
    stack = Stack(url=f"http://{HOST}:{settings.ports.gateway}", settings=settings)
    epp = plan.epp(settings)
    if staging.certificate is not None:
        secure = ("--secure-serving", "--cert-path", str(staging.certificate))
        epp = replace(epp, arguments=(*epp.arguments, *secure))
    services = (epp, plan.bbr(settings), plan.controlplane(settings), plan.envoy(settings))
    try:
        for process in (*(server.process(layout.binaries) for server in staging.servers), *services):
            stack.start(process, wait=False)
        for running in stack.running.values():
            wait_ready(running)
        wait_until(lambda: _is_healthy(settings), READY_SECONDS, lambda: stack.log("envoy")[-4000:])
        yield stack
    finally:
        stack.close()


def _is_healthy(settings: Settings) -> bool:
    """Whether Envoy has found every picker and the router."""
    query = {"format": "json", "filter": r"^cluster\.(epp_.*|bbr)\.membership_healthy$"}
    found = httpx.get(f"http://{HOST}:{settings.ports.envoy_admin}/stats", params=query).json()["stats"]
    return len(found) > 1 and all(item["value"] for item in found)


def status_of(stack: Stack) -> Any:
    """What the control plane says of every object."""
    return httpx.get(f"http://{HOST}:{stack.settings.ports.controlplane_http}/status").raise_for_status().json()


def conditions(item: Any) -> dict[str, tuple[str, str, str]]:
    """Status, reason and message of each condition at an object's first parent."""
    found = item["parents"][0]["conditions"]
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in found}


def picked(stack: Stack) -> float:
    """How many requests the picker has placed."""
    text = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/metrics").text
    lines = (line for line in text.splitlines() if "scheduler_attempts_total{" in line)
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def picker_certificate(folder: Path) -> Path:
    """A folder with the self-signed certificate that a picker serves with."""
    chain, key = self_signed(folder, "picker.example")
    chain.rename(folder / "tls.crt")
    key.rename(folder / "tls.key")
    return folder
