"""`pointsman up`: the demo, the servers that a person names, or a cluster's YAML.

It starts nothing by itself: checks come first, and what is wrong is an error of one line with its remedy.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from gateway.service import access
from pointsman import banner, demo, envoy, installation
from pointsman.run import folder_of, ports_of, serve, settings_of, stop_command
from pointsman.up_backends import serve_backends
from pointsman.up_manifests import serve_manifests
from processes import runner
from processes.plan import Layout, Settings
from processes.preflight import StartError

DEMO_FOLDERS: Final = ("demo", "demo-local")


def up(given: Namespace, command: Sequence[str]) -> int:
    """Run until it is stopped. 0 after Ctrl-C, 1 when a process broke; `StartError` before anything runs."""
    run = folder_of(given)
    _check_source(given)
    _check_writable(given, run)
    runner.join(run, command)
    with runner.exclusive(run):
        return _up(given, run)


def _up(given: Namespace, run: Path) -> int:
    root = installation.root()
    layout = Layout(root, run, envoy.find(root, given.envoy), installation.binaries())
    if given.backend:
        return serve_backends(given, layout)
    if given.manifests:
        return serve_manifests(given, layout)
    settings = _demo(given, layout)
    return serve(given, settings, banner.of_demo(settings, stop_command(given)))


def _check_source(given: Namespace) -> None:
    """One thing at a time can say what is served; and what a file shall hold has to be there."""
    try:
        access.token_in(given.operators_token_file)
    except access.TokenError as error:
        raise StartError(str(error)) from None
    if given.backend and given.config_dir:
        raise StartError("--backend writes its own manifests: leave --config-dir away, or edit what it writes")
    if given.manifests and (given.backend or given.config_dir):
        other = "--backend" if given.backend else "--config-dir"
        raise StartError(f"{given.manifests[0]} and {other} both say what is served: leave one of them away")


def _check_writable(given: Namespace, run: Path) -> None:
    """What a run writes must be possible before any of it begins."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise StartError(f"{run}: {error.strerror}: name a folder with --dir that you may write to") from None
    try:
        if given.record is not None:
            given.record.open("ab").close()
    except OSError as error:
        raise StartError(f"--record {given.record}: {error.strerror}: name a file that you may write to") from None


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
    return settings_of(given, layout, ports, tuple(given.config_dir or folders))
