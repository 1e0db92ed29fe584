"""The files of a page for people on an operators' port, and the style that all of them share. A shell on aiohttp.

Nothing of a page comes from elsewhere, so that it works offline; no other site may frame it or run a script in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}
STYLE: Final = Path(__file__).parent / "page.css"
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def files(named: Mapping[str, Path]) -> list[web.RouteDef]:
    """Routes for files by their paths; each is read once, now."""
    contents = {path: (file.read_bytes(), _TYPES[file.suffix]) for path, file in named.items()}

    async def file(request: web.Request) -> web.Response:
        body, kind = contents[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return [web.get(path, file) for path in contents]
