"""What the command line reads of a running picker, on its operators' port. What goes wrong ends the process."""

import argparse
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from epp.app.usage import PATH
from epp.billing.report import Output, PriceError, priced, prices_of, shown
from gateway.service import operators

SECONDS = 10.0
UNABLE = 2  # exit status: the command could not do its work


def add_bill(parser: argparse._ArgumentGroup) -> None:
    """The flags of the bill."""
    add = parser.add_argument
    add("--by", default="tenant,model", help="some of day, tenant, model, cost_centre (default tenant,model)")
    add("--since", metavar="DATE", help="first day, in UTC (default: 30 days before the last)")
    add("--until", metavar="DATE", help="last day (default: today)")
    add("--prices", type=Path, metavar="FILE", help="JSON of prices by model (docs/quotas.md)")
    add("-o", "--output", choices=tuple(Output), default=Output.TABLE, help="default table")


def bill(url: str, by: str, since: str | None, until: str | None, prices: Path | None, output: Output) -> str:
    """The bill as text."""
    fields = tuple(by.split(","))
    wanted = fields if prices is None or "model" in fields else (*fields, "model")
    query = {"by": ",".join(wanted), **({"since": since} if since else {}), **({"until": until} if until else {})}
    found = fetch(url, f"{PATH}?{urllib.parse.urlencode(query)}")["rows"]
    if prices is not None:
        found = _priced(found, fields, prices)
    return shown(found, fields, output)


def _priced(found: Sequence[Any], fields: Sequence[str], prices: Path) -> Sequence[Any]:
    try:
        return priced(found, fields, prices_of(prices.read_text()))
    except (OSError, PriceError) as error:
        _give_up(f"--prices: {prices}: {error}")


def fetch(url: str, path: str) -> Any:
    """The JSON that a picker answers."""
    try:
        return operators.fetch(url, path, SECONDS)
    except operators.PortError as error:
        _give_up(str(error))


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    sys.exit(UNABLE)
