"""What a running picker shows on its operators' port. I/O, read-only."""

import argparse
from typing import Any, Final

from gateway.service import operators
from pointsman.commands.command import ports_of
from processes.plan import HOST

ANSWER_SECONDS: Final = 5.0


class NoPickerError(Exception):
    """Nobody answers, or somebody who is no picker; the message names the URL and what to do."""


def picker_url(given: argparse.Namespace) -> str:
    """The picker's operators' port, of a URL that is given or of this host."""
    return (given.url or f"http://{HOST}:{ports_of(given).epp_metrics}").rstrip("/")


def state(url: str, name: str) -> Any:
    """The list under /debug/`name`, with the token of this command's environment."""
    try:
        return operators.fetch(url, f"/debug/{name}", ANSWER_SECONDS)[name]
    except operators.PortError as error:
        raise NoPickerError(str(error)) from None
    except (KeyError, TypeError):
        raise NoPickerError(f"{url} is no picker's operators' port: give that with --url") from None
