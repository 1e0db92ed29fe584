"""What the command line reads of a running picker, on its operators' port. What goes wrong ends the process."""

import argparse
import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epp.app.usage import PATH
from epp.billing.report import Output, PriceError, priced, prices_of, shown
from gateway.service import access

SECONDS = 10


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
        sys.exit(f"--prices: {prices}: {error}")


def fetch(url: str, path: str) -> Any:
    """The JSON that a picker answers."""
    if not _is_http(url):
        sys.exit(f"--url: expected http://HOST:PORT, got {url!r}")
    try:
        headers = dict(access.brought(os.environ))
        request = urllib.request.Request(f"{url.rstrip('/')}{path}", headers=headers)  # noqa: S310 - was checked
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode(errors='replace').strip()}")
    except urllib.error.URLError as error:
        sys.exit(f"{url}: {getattr(error.reason, 'strerror', None) or error.reason}")
    except OSError as error:
        sys.exit(f"{url}: {error.strerror or error}")
    except (http.client.HTTPException, ValueError):
        sys.exit(f"{url}: no picker answers there; give the address of its metrics port")


def _is_http(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
