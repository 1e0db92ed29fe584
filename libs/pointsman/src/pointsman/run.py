"""One run: its folder, its ports and its settings, as the command line says; and the run itself."""

import json
import os
import secrets
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from gateway.router.key_files import KeyFileError, load
from gateway.tenancy.keys import RANDOM_BYTES
from pointsman import banner, lease
from pointsman.cluster.simulation import Simulation
from pointsman.upkeep import Upkeep
from processes import runner
from processes.plan import WITHOUT_KEY, Keys, Layout, Ports, Settings
from processes.preflight import StartError

OWNER_ONLY = 0o600
STACK_FILE = "stack.json"  # what a running stack serves, for commands on this host


def folder_of(given: Namespace) -> Path:
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


def stop_command(given: Namespace) -> str:
    """What a person types to end it."""
    if given.stop_hint:
        return str(given.stop_hint)
    flags = f" --dir {given.dir}" if given.dir else f" --port-offset {given.port_offset}" if given.port_offset else ""
    return f"pointsman down{flags}"


def settings_of(given: Namespace, layout: Layout, ports: Ports, folders: tuple[Path, ...]) -> Settings:
    """The settings of a stack that serves these folders."""
    return Settings(
        ports=ports, layout=layout, config_dirs=folders,
        epp_config=given.epp_config or layout.root / "config" / "demo" / "epp.yaml",
        redis_url=given.redis_url, workers=given.workers, picker=given.picker, log_level=given.log_level,
        operators_token_file=given.operators_token_file.resolve() if given.operators_token_file else None,
        picker_options=("--record", str(given.record.resolve())) if given.record else (),
        keys=_keys(given, layout),
    )  # fmt: skip


def _keys(given: Namespace, layout: Layout) -> Keys | None:
    """The files of clients' keys, where they need one. One that cannot be used is an error before anything starts."""
    if given.keys_file is None:
        return None
    try:
        load(given.keys_file)
    except KeyFileError as error:
        raise StartError(str(error)) from None
    return Keys(given.keys_file.resolve(), _salt_file(layout.run))


def _salt_file(run: Path) -> Path:
    """The secret of a run that tells tenants' caches apart, made once."""
    path = run / "cache-salt"
    run.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
            file.write(secrets.token_urlsafe(RANDOM_BYTES))
    return path


def serve(given: Namespace, settings: Settings, text: str, simulation: Simulation | None = None) -> int:
    """Run the stack until it is stopped, and announce it to a person or a program."""
    if settings.keys is not None:
        text = f"{text}\n  Clients need a key of {settings.keys.clients}: -H 'authorization: Bearer KEY'"
        settings = replace(settings, probe=WITHOUT_KEY)
    found = simulation or Simulation()
    announced = banner.as_json(settings, stop_command(given), found.lines, found.notes)
    words = (announced, json.dumps({"stopped": True})) if given.json else (text, "stopped")
    run = settings.layout.run
    (run / STACK_FILE).write_text(announced)
    with Upkeep(settings.layout):
        return runner.serve(replace(settings, config_dirs=(*settings.config_dirs, lease.folder_of(run))), *words)
