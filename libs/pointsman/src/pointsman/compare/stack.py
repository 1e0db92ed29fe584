"""What a run of this host serves, as its folder says, and whether a change of its manifests would be served. I/O."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.kube.objects import ObjectName
from pointsman import installation
from pointsman.run import STACK_FILE
from processes.stopping import runner_of

CHECK_SECONDS: Final = 60.0  # for thousands of manifests on a busy host
DOCUMENTATION: Final = "docs/command.md#round-robin-and-the-picker-side-by-side"


class NoStackError(Exception):
    """Nothing runs there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The folders that it reads, and Envoy's log."""

    folders: tuple[Path, ...]
    access_log: Path


def running_stack(run: Path) -> RunningStack:
    """That of a run's folder."""
    try:
        found: Mapping[str, Any] = json.loads((run / STACK_FILE).read_text())
        stack = RunningStack(tuple(map(Path, found["manifests"])), Path(found["access_log"]))
    except (OSError, ValueError, KeyError, TypeError):
        stack = None
    if stack is None or runner_of(run) is None or not stack.access_log.exists():
        raise NoStackError(
            f"no stack of this host runs in {run}: start one with `pointsman up`, or name its --dir or --port-offset "
            f"(in a cluster: {DOCUMENTATION})"
        )
    return stack


def refusal(route: ObjectName, folders: Sequence[Path]) -> str | None:
    """Why the control plane would not serve the route of these folders; None if it would."""
    words = [word for folder in folders for word in ("--config-dir", str(folder))]
    command = [str(installation.binaries() / "controlplane"), "status", *words, "--default-picker", "default/epp:9002"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "-o", "json"], capture_output=True, text=True, check=False, timeout=CHECK_SECONDS
    )
    try:
        status: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        return done.stderr.strip() or f"controlplane status: exit status {done.returncode}"
    routes = [each for each in status["routes"] if (each["namespace"], each["name"]) == tuple(route)]
    conditions = [each for found in routes for parent in found["parents"] for each in parent["conditions"]]
    return next((str(each["message"]) for each in conditions if each["status"] != "True"), None)
