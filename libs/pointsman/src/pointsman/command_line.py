"""The command line of `pointsman`: its commands and flags."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DESCRIPTION: Final = "An inference gateway for self-hosted models, on this host."
EXAMPLES: Final = """\
examples:
  pointsman up                                                    the demo, with simulated model servers
  pointsman up --backend http://10.0.0.5:8000 --backend http://10.0.0.6:8000
                                                                  the model servers that you have
  pointsman up --backend https://models.example --api-key-env KEY servers that want a key
  pointsman up manifests/ route.yaml                              a cluster's YAML, its servers simulated
  pointsman status                                                what became of the manifests
  pointsman explain REQUEST-ID                                    why a request went where it went
  pointsman check manifests/                                      what is wrong with manifests
  pointsman down                                                  stop it, from any terminal
"""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what is wrong with it ends the process with 2."""
    parser = argparse.ArgumentParser(
        "pointsman", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="start the gateway, and stop it with Ctrl-C"))
    _add_run(commands.add_parser("down", help="stop it, from whichever terminal"))
    status = commands.add_parser("status", help="what became of the manifests of a running gateway")
    _add_run(status)
    status.add_argument("--url", help="of its control plane; default: this host's")
    status.add_argument("-o", "--output", choices=("table", "yaml", "json"), default="table")
    explain = commands.add_parser("explain", help="why a request went where it went")
    _add_run(explain)
    explain.add_argument("--url", help="of the endpoint picker's operators' port; default: this host's")
    explain.add_argument("request_id", help="the x-request-id of a request")
    check = commands.add_parser("check", help="read manifests and say what is wrong; 1 if anything is")
    check.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    render = commands.add_parser("render", help="write Envoy's files for manifests, and start nothing")
    render.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    render.add_argument("--output-dir", type=Path, required=True, metavar="DIR")
    diff = commands.add_parser("diff", help="what Envoy would change between two folders; 1 if anything")
    diff.add_argument("before", type=Path)
    diff.add_argument("after", type=Path)
    return parser.parse_args(argv)


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Which of several stacks of this host."""
    parser.add_argument("--dir", type=Path, help="folder of the run (default: .pointsman)")
    parser.add_argument("--port-offset", type=int, default=0, metavar="N", help="all ports by so many")


def _add_up(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    add = parser.add_argument
    add("manifests", nargs="*", type=Path, metavar="DIR_OR_FILE",
        help="a cluster's YAML: what its workloads would run is simulated")  # fmt: skip
    add("--backend", action="append", default=[], metavar="URL",
        help="a model server that exists, such as http://10.0.0.5:8000; repeat it")  # fmt: skip
    add("--api-key-env", metavar="NAME", help="the environment variable with the key that the model servers want")
    add("--gateway-port", type=int, help="where clients connect (default: 8080)")
    add("--envoy-admin-port", type=int, help="(default: 9901)")
    add("--envoy", type=Path, metavar="PROGRAM", help="an Envoy of your own (default: 1.40, installed when needed)")
    add("--config-dir", type=Path, action="append", help="manifest folders instead of the demo's; repeat it")
    add("--epp-config", type=Path, help="EndpointPickerConfig instead of the demo's")
    add("--redis-url", help="share prefix knowledge between endpoint pickers")
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="write what is served to this file, without text (docs/recording.md)",
    )
    add("--picker", choices=("ext_proc", "http", "auto"), default="ext_proc", help="how Envoy asks the picker")
    add("--log-level", default="info")
    add("--stop-hint", help=argparse.SUPPRESS)
