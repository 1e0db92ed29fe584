"""Commands about a stack that runs: `down`, `status`, `explain`, `usage`."""

import argparse
import json
from pathlib import Path
from typing import Final

from pointsman.commands.command import Command, add_json, add_run, become, ports_of
from pointsman.commands.picker import picker_url
from pointsman.run import folder_of
from processes import stopping
from processes.plan import HOST


def _add_down(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)


def _down(given: argparse.Namespace) -> int:
    has_stopped = stopping.stop(folder_of(given))
    words = "stopped" if has_stopped else "nothing was running"
    print(json.dumps({"stopped": has_stopped}) if given.json else words)
    return 0


def _add_status(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--url", help="of its control plane; default: this host's")
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument("-o", "--output", choices=("table", "yaml", "json"), default="table")
    shapes.add_argument("--json", action="store_const", const="json", dest="output", help="the same as -o json")


def _status(given: argparse.Namespace) -> int:
    url = given.url or f"http://{HOST}:{ports_of(given).controlplane_http}"
    become("controlplane", "status", "--url", url, "-o", given.output)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)
    parser.add_argument("--url", help="of the endpoint picker's operators' port; default: this host's")
    parser.add_argument("request_id", help="the x-request-id of a request")


def _explain(given: argparse.Namespace) -> int:
    """What a decision holds has no shorter shape than JSON."""
    become("epp", "explain", given.request_id, "--url", picker_url(given))


def _add_usage(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add = parser.add_argument
    add("--url", help="of the endpoint picker's operators' port; default: this host's")
    add("--by", default="tenant,model", help="some of day, tenant, model, cost_centre (default tenant,model)")
    add("--since", metavar="DATE", help="first day, in UTC (default: 30 days before the last)")
    add("--until", metavar="DATE", help="last day (default: today)")
    add("--prices", type=Path, metavar="FILE", help="JSON of prices by model (docs/quotas.md)")
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument("-o", "--output", choices=("table", "csv", "json"), default="table")
    shapes.add_argument("--json", action="store_const", const="json", dest="output", help="the same as -o json")


def _usage(given: argparse.Namespace) -> int:
    words = ["--url", picker_url(given), "--by", given.by, "-o", given.output]
    for flag, value in (("--since", given.since), ("--until", given.until), ("--prices", given.prices)):
        words += [flag, str(value)] if value else []
    become("epp", "usage", *words)


RUNNING: Final = (
    Command("down", "stop it, from whichever terminal", "  pointsman down\n  pointsman down --port-offset 100\n",
            _add_down, _down),
    Command("status", "what became of the manifests of a running gateway",
            "  pointsman status\n  pointsman status --url http://10.0.0.9:9092 -o yaml\n"
            "  pointsman status --json | jq '.pools[] | {name, endpoints}'\n",
            _add_status, _status),
    Command("explain", "why a request went where it went",
            "  pointsman explain 3f0c8a52-1c7e-4d0e-9d7c-5d1f1b0b6a11\n", _add_explain, _explain),
    Command("usage", "what each tenant used of each model, by day",
            "  pointsman usage --by tenant,model --since 2026-11-01\n  pointsman usage --by day,tenant -o csv\n"
            "  pointsman usage --prices prices.json\n", _add_usage, _usage),
)  # fmt: skip
