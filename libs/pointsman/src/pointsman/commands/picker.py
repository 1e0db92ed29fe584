"""What a running picker shows on its operators' port. I/O, read-only."""

import argparse
import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any, Final

from gateway.service import access
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
        request = urllib.request.Request(f"{url}/debug/{name}", headers=dict(access.brought(os.environ)))  # noqa: S310
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - given by a person
            return json.load(answer)[name]
    except urllib.error.HTTPError as error:
        remedy = f"give its token in {access.VARIABLE}" if error.code == 401 else "is it the picker's operators' port?"
        raise NoPickerError(f"{url} answers {error.code}: {remedy}") from None
    except OSError as error:
        why = getattr(getattr(error, "reason", error), "strerror", None) or getattr(error, "reason", error)
        raise NoPickerError(f"{url} does not answer ({why}): is a stack running there? else give --url") from None
    except (ValueError, KeyError, TypeError, http.client.HTTPException):
        raise NoPickerError(f"{url} is no picker's operators' port: give that with --url") from None
