"""`pointsman up --backend`: manifests for the servers that a person names, and a watch for those that are down."""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pointsman import banner
from pointsman.backends.folder import ManifestFolder
from pointsman.backends.manifests import Picker, files_of
from pointsman.backends.pools import Pool, pools_of
from pointsman.backends.probing import Found, probe
from pointsman.backends.server import InvalidBackendError, Server, server_of
from pointsman.backends.watch import INTERVAL_SECONDS, Watch
from pointsman.run import ports_of, serve, settings_of, stop_command
from processes.plan import HOST, MODEL_LIST, Layout, Settings
from processes.preflight import StartError


@dataclass(frozen=True, slots=True)
class Backends:
    """The servers that a person names, and the key that they want."""

    servers: tuple[Server, ...]
    api_key: str | None


def serve_backends(given: Namespace, layout: Layout) -> int:
    """Run until it is stopped; `StartError` before anything runs."""
    backends = _backends(given)
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
        settings_of(given, layout, ports, (folder.path,)), simulators=(), probe=MODEL_LIST,
    )  # fmt: skip
    watch = Watch(found, backends.api_key, write)
    watch.start()
    try:
        return serve(given, settings, _banner(given, settings, pools, found))
    finally:
        watch.stop()


def _backends(given: Namespace) -> Backends:
    key = None
    if given.api_key_env:
        key = os.environ.get(given.api_key_env)
        if not key:
            raise StartError(f"--api-key-env {given.api_key_env}: that variable is not set")
    try:
        return Backends(tuple(dict.fromkeys(map(server_of, given.backend))), key)
    except InvalidBackendError as error:
        raise StartError(str(error)) from None


def _first_found(backends: Backends) -> Found:
    """What is known once any server answers: without one there is no model to serve."""
    found, is_first = probe(backends.servers, backends.api_key), True
    while not found.models:
        if is_first:
            lines = [f"  {server.url}: {why}" for server, why in found.down.items()]
            print("waiting for a model server:", *lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
        is_first = False
        time.sleep(INTERVAL_SECONDS)
        found = probe(backends.servers, backends.api_key)
    return found


def _banner(given: Namespace, settings: Settings, pools: Sequence[Pool], found: Found) -> str:
    lines = banner.of_backends(pools, found.down, found.without_metrics, settings.config_dirs[0])
    model = pools[0].names[0] if pools else None
    return banner.with_backends(settings, stop_command(given), model=model, lines=lines)
