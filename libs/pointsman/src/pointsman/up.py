"""`pointsman up`: settings for the runner, from the demo or from the servers that a person names.

It starts nothing by itself: checks come first, and what is wrong is an error of one line with its remedy.
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pointsman import banner, demo, envoy, installation
from pointsman.backends.asking import Found, ask
from pointsman.backends.folder import ManifestFolder
from pointsman.backends.manifests import Picker, files_of
from pointsman.backends.pools import Pool, pools_of
from pointsman.backends.server import InvalidBackendError, Server, server_of
from pointsman.backends.watch import INTERVAL_SECONDS, Watch
from processes import runner
from processes.plan import HOST, MODEL_LIST, Layout, Ports, Settings
from processes.preflight import StartError

DEMO_FOLDERS: Final = ("demo", "demo-local")


@dataclass(frozen=True, slots=True)
class Backends:
    """The servers that a person names, and the key that they want."""

    servers: tuple[Server, ...]
    api_key: str | None


def up(given: Namespace, command: Sequence[str]) -> int:
    """Run until it is stopped. 0 after Ctrl-C, 1 when a process broke; `StartError` before anything runs."""
    run = run_folder(given)
    runner.join(run, command)
    root = installation.root()
    layout = Layout(root, run, envoy.find(root, given.envoy), installation.binaries())
    if given.backend:
        return _serve_backends(given, layout, _backends(given))
    settings = _demo(given, layout)
    return runner.serve(settings, banner.of_demo(settings.ports, run, _stop(given)))


def run_folder(given: Namespace) -> Path:
    """The folder of a run: one for each port offset, in the folder where the command is given."""
    if given.dir is not None:
        folder: Path = given.dir
        return folder.resolve()
    return Path.cwd() / (f".pointsman-{given.port_offset}" if given.port_offset else ".pointsman")


def ports_of(given: Namespace) -> Ports:
    """All ports, moved; the gateway's and Envoy's own may be given."""
    ports = Ports().moved(given.port_offset)
    return replace(
        ports, gateway=given.gateway_port or ports.gateway, envoy_admin=given.envoy_admin_port or ports.envoy_admin
    )


def _stop(given: Namespace) -> str:
    if given.stop_hint:
        return str(given.stop_hint)
    flags = f" --dir {given.dir}" if given.dir else f" --port-offset {given.port_offset}" if given.port_offset else ""
    return f"pointsman down{flags}"


def _demo(given: Namespace, layout: Layout) -> Settings:
    """Simulated model servers, and manifests that serve them."""
    ports, config = ports_of(given), layout.root / "config"
    folders = tuple(config / name for name in DEMO_FOLDERS)
    if given.port_offset:
        overlay = layout.run / "demo-local"
        overlay.mkdir(parents=True, exist_ok=True)
        for file in sorted(folders[1].glob("*.yaml")):
            (overlay / file.name).write_text(demo.with_ports(file.read_text(), ports))
        folders = (folders[0], overlay)
    return _settings(given, layout, ports, tuple(given.config_dir or folders))


def _settings(given: Namespace, layout: Layout, ports: Ports, folders: tuple[Path, ...]) -> Settings:
    return Settings(
        ports=ports, layout=layout, config_dirs=folders,
        epp_config=given.epp_config or layout.root / "config" / "demo" / "epp.yaml",
        redis_url=given.redis_url, picker=given.picker, log_level=given.log_level,
        picker_options=("--record", str(given.record.resolve())) if given.record else (),
    )  # fmt: skip


def _backends(given: Namespace) -> Backends:
    if given.config_dir:
        raise StartError("--backend writes its own manifests: leave --config-dir away, or edit what it writes")
    key = None
    if given.api_key_env:
        key = os.environ.get(given.api_key_env)
        if not key:
            raise StartError(f"--api-key-env {given.api_key_env}: that variable is not set")
    try:
        return Backends(tuple(dict.fromkeys(map(server_of, given.backend))), key)
    except InvalidBackendError as error:
        raise StartError(str(error)) from None


def _serve_backends(given: Namespace, layout: Layout, backends: Backends) -> int:
    ports = replace(ports_of(given), simulators=())
    try:
        found = _first_found(backends)
        pools = pools_of(found.models)
    except InvalidBackendError as error:
        raise StartError(str(error)) from None
    folder = ManifestFolder(layout.run / "manifests")
    picker = Picker(HOST, ports.epp_grpc)

    def write(pools: Sequence[Pool]) -> None:
        for name in folder.write(files_of(pools, picker, backends.api_key)):
            print(f"{folder.path / name} was edited and stays as it is", file=sys.stderr, flush=True)  # noqa: T201

    write(pools)
    settings = replace(
        _settings(given, layout, ports, (folder.path,)), simulators=(), probe=MODEL_LIST,
    )  # fmt: skip
    watch = Watch(found, backends.api_key, write)
    watch.start()
    try:
        return runner.serve(settings, _banner(given, settings, pools, found))
    finally:
        watch.stop()


def _first_found(backends: Backends) -> Found:
    """What is known once any server answers: without one there is no model to serve."""
    found, is_first = ask(backends.servers, backends.api_key), True
    while not found.models:
        if is_first:
            lines = [f"  {server.url}: {why}" for server, why in found.down.items()]
            print("waiting for a model server:", *lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
        is_first = False
        time.sleep(INTERVAL_SECONDS)
        found = ask(backends.servers, backends.api_key)
    return found


def _banner(given: Namespace, settings: Settings, pools: Sequence[Pool], found: Found) -> str:
    lines = banner.of_backends(pools, found.down, found.without_metrics, settings.config_dirs[0])
    model = pools[0].names[0] if pools else None
    return banner.with_backends(settings.ports, settings.layout.run, _stop(given), model=model, lines=lines)
