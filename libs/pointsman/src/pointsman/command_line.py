"""The command line of `pointsman`: `up`, and every command of the catalogue."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.workers.options import count
from pointsman.catalogue import COMMANDS, PROGRAMS
from pointsman.commands.command import add_json, add_run
from pointsman.commands.completion import SHELLS

DESCRIPTION: Final = "An inference gateway for self-hosted models, on this host."
EXAMPLES: Final = """\
examples:
  pointsman up                                                    the demo, with simulated model servers
  pointsman up --backend http://10.0.0.5:8000 --backend http://10.0.0.6:8000
                                                                  the model servers that you have
  pointsman up --backend https://models.example --api-key-env KEY servers that want a key
  pointsman up manifests/ route.yaml                              a cluster's YAML, its servers simulated
  pointsman status                                                what became of the manifests
  pointsman top                                                   pools and endpoints, live
  pointsman compare --route llm-route                             round robin beside the picker, live
  pointsman explain REQUEST-ID                                    why a request went where it went
  pointsman usage --by tenant,model --since 2026-11-01            what each tenant used
  pointsman keys new alice --tenant team-a                        a key for a client; then: up --keys-file keys.txt
  pointsman check manifests/                                      what is wrong with manifests
  pointsman down                                                  stop it, from any terminal
  source <(pointsman completion bash)                             words completed with Tab
"""
_UP_EXAMPLES: Final = "".join(EXAMPLES.splitlines(keepends=True)[1:6])
_COMPLETION_EXAMPLES: Final = """\
  source <(pointsman completion bash)
  pointsman completion fish > ~/.config/fish/completions/pointsman.fish
"""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what is wrong with it ends the process with 2."""
    return parser().parse_args(argv)


def parser() -> argparse.ArgumentParser:
    """All of it, for reading and for completion."""
    made = _parser(argparse.ArgumentParser, "pointsman", EXAMPLES, description=DESCRIPTION)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(_parser(commands.add_parser, "up", f"examples:\n{_UP_EXAMPLES}", help="start the gateway; Ctrl-C stops it"))
    for command in COMMANDS:
        own = _parser(commands.add_parser, command.name, f"examples:\n{command.examples}", help=command.summary)
        command.add(own)
        own.set_defaults(run=command.run)
    for program in PROGRAMS:
        commands.add_parser(program.name, help=program.summary)
    completion = _parser(
        commands.add_parser, "completion", f"examples:\n{_COMPLETION_EXAMPLES}",
        help="print a script that completes words in your shell",
    )  # fmt: skip
    completion.add_argument("shell", choices=tuple(SHELLS))
    add_json(completion)
    return made


def _parser(
    make: Callable[..., argparse.ArgumentParser], name: str, examples: str, **words: str
) -> argparse.ArgumentParser:
    return make(name, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter, **words)


def _add_up(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)
    add = parser.add_argument
    add("manifests", nargs="*", type=Path, metavar="DIR_OR_FILE",
        help="a cluster's YAML: what its workloads would run is simulated")  # fmt: skip
    add("--backend", action="append", default=[], metavar="URL",
        help="a model server that exists, such as http://10.0.0.5:8000; repeat it")  # fmt: skip
    add("--api-key-env", metavar="NAME", help="the environment variable with the key that the model servers want")
    add("--keys-file", type=Path, metavar="FILE",
        help="only clients with a key of this file are answered (pointsman keys; default: everybody is)")  # fmt: skip
    add("--gateway-port", type=int, help="where clients connect (default: 8080)")
    add("--envoy-admin-port", type=int, help="(default: 9901)")
    add("--envoy", type=Path, metavar="PROGRAM", help="an Envoy of your own (default: 1.40, installed when needed)")
    add("--config-dir", type=Path, action="append", help="manifest folders instead of the demo's; repeat it")
    add("--epp-config", type=Path, help="EndpointPickerConfig instead of the demo's")
    add("--redis-url", help="share prefix knowledge between endpoint pickers")
    add("--workers", type=count, default=1, metavar="N", help="processes of the picker, and of the router (default 1)")
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="write what is served to this file, without text (docs/recording.md)",
    )
    add("--picker", choices=("ext_proc", "http", "auto"), default="ext_proc", help="how Envoy asks the picker")
    add("--operators-token-file", type=Path, metavar="FILE",
        help="the pages want the bearer token in this file; commands take it from POINTSMAN_TOKEN")  # fmt: skip
    add("--log-level", default="info")
    add("--stop-hint", help=argparse.SUPPRESS)
