"""What a command reads on a service's operators' port, with the token of its environment. I/O, blocking, reads only."""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from gateway.service import access

ANSWER_LIMIT: Final = 1000  # bytes of an error that are shown


class PortError(Exception):
    """The port gave no JSON; the message is one line that names the URL and what helps."""


def fetch(url: str, path: str, seconds: float) -> Any:
    """The JSON under a path of the port at a URL, `http://HOST:PORT`. Raises PortError."""
    base = url.rstrip("/")
    if not _is_http(base):
        raise PortError(f"--url: expected http://HOST:PORT, got {url!r}")
    try:
        request = urllib.request.Request(f"{base}{path}", headers=dict(access.brought(os.environ)))  # noqa: S310
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - was checked
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise PortError(f"{base} answers {error.code}: {_remedy(error)}") from None
    except (ValueError, http.client.HTTPException):
        raise PortError(
            f"{base} answers, and is no operators' port of that service: give its address by --url"
        ) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        why = getattr(reason, "strerror", None) or reason
        raise PortError(f"{base} does not answer: {why}; is a stack running there? else give --url") from None


def _remedy(error: urllib.error.HTTPError) -> str:
    if error.code == 401:
        return f"give its token in {access.VARIABLE}"
    try:
        answered = error.read(ANSWER_LIMIT).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):  # it does not come
        answered = ""
    return _own_words(error.headers.get_content_type(), answered) or "is it the operators' port of that service?"


def _own_words(content_type: str, answered: str) -> str:
    """What a port of ours answers is wrong, in one line: plain text, or JSON with `error`. Nothing of a stranger's."""
    words: object = answered if content_type == "text/plain" else None
    if content_type == "application/json":
        try:
            found = json.loads(answered)
        except ValueError:
            return ""
        words = found.get("error") if isinstance(found, dict) else None
    return words if isinstance(words, str) and "\n" not in words else ""


def _is_http(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
