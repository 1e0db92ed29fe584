"""Who may look at an operators' port that wants a token: whoever brings it, a browser by a cookie that it gets for it.

Probes and /metrics stay open: kubelets bring no token, and figures tell of no request.
"""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
LOGIN: Final = "/token"
FLAG: Final = "--operators-token-file"
VARIABLE: Final = "POINTSMAN_TOKEN"  # of commands that ask such a port
COOKIE: Final = "pointsman_operator"
_FORM: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Pointsman</title></head>
<body><form method="post" action="/token">
<p>This page wants a token: the one of --operators-token-file.</p>
<input type="password" name="token" aria-label="token" autofocus> <button>Open</button>
</form></body></html>
"""


class TokenError(ValueError):
    """A file without a token."""


def token_in(file: Path | None, flag: str = FLAG) -> str | None:
    """The token in the first line of a file; None where there is no such file to be."""
    if file is None:
        return None
    try:
        found = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{flag} {file}: {getattr(error, 'strerror', None) or error}") from None
    if not found:
        raise TokenError(f"{flag} {file}: the first line is empty, and a token is what it should hold")
    return found


def brought(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The header with which a command brings the token, where its variable says one."""
    token = environment.get(VARIABLE)
    return {"Authorization": f"Bearer {token}"} if token else {}


def wanting(token: str) -> Middleware:
    """Lets requests pass that bring the token."""
    ticket = hashlib.sha256(b"pointsman operator: " + token.encode()).hexdigest()

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN or _brings(request, token, ticket):
            return await handler(request)
        if request.path == LOGIN and request.method == "POST":
            return await _login(request)
        return _refusal(request)

    async def _login(request: web.Request) -> web.Response:
        given = (await request.post()).get("token")
        if not isinstance(given, str) or not _is_same(given, token):
            return _refusal(request)
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(COOKIE, ticket, httponly=True, samesite="Strict")
        return response

    return checked


def _brings(request: web.Request, token: str, ticket: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _is_same(given.strip(), token):
        return True
    return _is_same(request.cookies.get(COOKIE, ""), ticket)


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _refusal(request: web.Request) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"}
    if "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=401, text=_FORM, content_type="text/html", headers=headers)
    words = {"error": f"this port wants the bearer token of {FLAG}; commands take it from {VARIABLE}"}
    return web.json_response(words, status=401, headers=headers)
