"""What a person reads once the stack is up. Pure."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pointsman.backends.pools import Pool
from pointsman.backends.server import Server
from pointsman.cluster.first_request import FirstRequest
from processes.plan import Ports, Settings


def of_demo(settings: Settings, stop: str) -> str:
    """The demo's first request, its ports, and how to stop it."""
    head = _head(settings.ports, "Qwen/Qwen3-32B")
    note = "  The response header x-inference-pod names the model server that answered."
    return "\n".join(["", *head, note, *_tail(settings, stop), ""])


def of_backends(
    pools: Sequence[Pool], down: Mapping[Server, str], without_metrics: Sequence[Server], folder: Path
) -> list[str]:
    """Which servers are served, and where to go on."""
    lines = [f"  {pool.name}: {', '.join(pool.names)}{_adapters(pool)} on {_servers(pool.servers)}" for pool in pools]
    lines += [f"  waiting for {server.url}: {why}" for server, why in down.items()]
    lines += [
        f"  {server.url} has no vLLM metrics: it is picked without knowing its queue and cache"
        for server in without_metrics
    ]
    return [*lines, f"  manifests {folder}: edit them, and it takes effect"]


def with_backends(settings: Settings, stop: str, *, model: str | None, lines: Sequence[str]) -> str:
    """The first request to the servers that a person has."""
    return "\n".join(["", *_head(settings.ports, model), *lines, *_tail(settings, stop), ""])


def of_simulation(lines: Sequence[str], notes: Sequence[str]) -> list[str]:
    """What runs in the place of a cluster's servers, before anything runs."""
    head = ["simulated here, since the manifests say no address of a server:"] if lines else []
    return [*head, *(f"  {line}" for line in lines), *(f"note: {note}" for note in notes)]


def with_manifests(settings: Settings, stop: str, request: FirstRequest | None) -> str:
    """The first request to what a cluster's YAML serves."""
    ports = settings.ports
    others = [f"  port {written} of the Gateways is served on {port}" for written, port in settings.listeners
              if port != ports.gateway]  # fmt: skip
    where = f"  manifests {', '.join(map(str, settings.config_dirs))}: edits of routes and pools take effect"
    return "\n".join(["", *_first(ports, request), *others, where, *_tail(settings, stop), ""])


def _head(ports: Ports, model: str | None) -> list[str]:
    url = f"http://localhost:{ports.gateway}"
    if model is None:
        return [f"Pointsman is up: {url}", ""]
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    return [
        f"Pointsman is up: {url}", "",
        f"  curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\",
        f"    -d '{json.dumps(body)}'", "",
    ]  # fmt: skip


def as_json(settings: Settings, stop: str, simulated: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """The same for programs, in one line."""
    return json.dumps({
        "gateway": f"http://localhost:{settings.ports.gateway}",
        "ports": settings.ports.named(),
        "listeners": {str(written): port for written, port in settings.listeners},
        "manifests": [str(folder) for folder in settings.config_dirs],
        "simulated": [*simulated],
        "notes": [*notes],
        "log": str(settings.layout.run / "log"),
        "access_log": str(settings.layout.access_log),
        "stop": stop,
    })  # fmt: skip


def _first(ports: Ports, request: FirstRequest | None) -> list[str]:
    url = f"http://localhost:{ports.gateway}"
    if request is None:
        return _head(ports, None)
    headers = "".join(f" -H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers.items())
    body = {"model": request.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    data = ["    -H 'content-type: application/json' \\", f"    -d '{json.dumps(body)}'"] if request.model else []
    line = f"  curl -i {url}{request.path}{headers}" + (" \\" if data else "")
    return [f"Pointsman is up: {url}", "", line, *data, ""]


def _tail(settings: Settings, stop: str) -> list[str]:
    listing = [f"    {name:<15} {port}" for name, port in settings.ports.named().items()]
    layout = settings.layout
    return [
        "  ports", *listing, f"  logs   {layout.run / 'log'}, and each request in {layout.access_log}",
        f"  stop   Ctrl-C here, or '{stop}'; a second Ctrl-C does not wait for answers in flight",
    ]  # fmt: skip


def _adapters(pool: Pool) -> str:
    if not pool.adapters:
        return ""
    return f" with {len(pool.adapters)} adapter{'s' if len(pool.adapters) > 1 else ''}"


def _servers(servers: Sequence[Server]) -> str:
    return ", ".join(server.url for server in servers)
