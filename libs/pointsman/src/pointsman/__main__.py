"""`pointsman up | down | status | explain | check | render | diff`. What cannot start ends with 2, leaving nothing."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pointsman import installation
from pointsman.command_line import arguments
from pointsman.run import folder_of
from pointsman.up import up
from processes import stopping
from processes.plan import HOST, Ports
from processes.preflight import StartError

CANNOT_START: Final = 2
INTERRUPTED: Final = 130  # as a shell has it


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    given = arguments(words)
    try:
        if given.command == "up":
            sys.exit(up(given, (sys.executable, "-m", "pointsman", *words)))
        sys.exit(_COMMANDS[given.command](given))
    except KeyboardInterrupt:  # before the stack runs; from then on the runner ends it in order
        sys.exit(INTERRUPTED)
    except StartError as reason:
        print(f"cannot start:\n{reason}", file=sys.stderr)
        sys.exit(CANNOT_START)


def _down(given: Namespace) -> int:
    print("stopped" if stopping.stop(folder_of(given)) else "nothing was running")
    return 0


def _status(given: Namespace) -> int:
    url = given.url or f"http://{HOST}:{_ports(given).controlplane_http}"
    return _become("controlplane", "status", "--url", url, "-o", given.output)


def _explain(given: Namespace) -> int:
    url = given.url or f"http://{HOST}:{_ports(given).epp_metrics}"
    return _become("epp", "explain", given.request_id, "--url", url)


def _check(given: Namespace) -> int:
    return _become("controlplane", "check", *_folders(given))


def _render(given: Namespace) -> int:
    return _become("controlplane", "render", *_folders(given), "--output-dir", str(given.output_dir))


def _diff(given: Namespace) -> int:
    return _become("controlplane", "diff", str(given.before), str(given.after))


def _ports(given: Namespace) -> Ports:
    return Ports().moved(given.port_offset)


def _folders(given: Namespace) -> list[str]:
    return [word for folder in given.folders for word in ("--config-dir", str(folder))]


def _become(program: str, *words: str) -> int:
    """Go on as one of the services' own commands."""
    path = str(installation.binaries() / program)
    os.execv(path, [path, *words])  # noqa: S606 - our own command


_COMMANDS: Final[Mapping[str, Callable[[Namespace], int]]] = {
    "down": _down, "status": _status, "explain": _explain, "check": _check, "render": _render, "diff": _diff,
}  # fmt: skip


if __name__ == "__main__":
    main()
