"""One run: its folder, its ports and its settings, as the command line says; and the run itself."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from pointsman import banner
from pointsman.cluster.simulation import Simulation
from processes import runner
from processes.plan import Layout, Ports, Settings


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
        redis_url=given.redis_url, picker=given.picker, log_level=given.log_level,
        picker_options=("--record", str(given.record.resolve())) if given.record else (),
    )  # fmt: skip


def serve(given: Namespace, settings: Settings, text: str, simulation: Simulation | None = None) -> int:
    """Run the stack until it is stopped, and announce it to a person or a program."""
    if not given.json:
        return runner.serve(settings, text)
    found = simulation or Simulation()
    announced = banner.as_json(settings, stop_command(given), found.lines, found.notes)
    return runner.serve(settings, announced, json.dumps({"stopped": True}))
