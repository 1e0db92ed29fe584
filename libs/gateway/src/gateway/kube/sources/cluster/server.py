"""The API server over HTTP: pages, watches, and the status of objects.

Shell on aiohttp. It retries nothing; who asks decides what an error means.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import aiohttp
import orjson

from gateway.kube.sources.cluster import decoding
from gateway.kube.sources.cluster.credentials import Credentials
from gateway.kube.sources.cluster.decoding import UnreadableError
from gateway.schema import units

ANSWER_SECONDS: Final = 60.0  # for a whole page, or a write; the server's own limit is the same
CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 150.0  # of a watch; bookmarks come every minute
MOST_CONNECTIONS: Final = 0  # no limit: a watch keeps its own, and their number is that of the resources followed


class RefusedError(Exception):
    """The server answered with an error; `retry_after` is in seconds."""

    def __init__(self, status: int, reason: str, retry_after: float = 0.0) -> None:
        self.status, self.retry_after = status, retry_after
        super().__init__(f"{status} {reason}")


GOOD: Final = (200, 201, 202)
_JSON: Final = MappingProxyType({"Content-Type": "application/json"})
LOST: Final = (aiohttp.ClientError, OSError, TimeoutError)  # no answer, or one that broke off


class ApiServer:
    """Made by `connected`."""

    def __init__(self, session: aiohttp.ClientSession, credentials: Credentials) -> None:
        self._session = session
        self._credentials = credentials

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """The whole answer. Raises RefusedError, or one of LOST."""
        async with self._response("GET", path, query, timeout=_whole()) as response:
            return await response.read()

    async def find(self, path: str) -> dict[str, Any] | None:
        """An object with its version; None where there is none. Raises as `get` does."""
        try:
            return _stored(await self.get(path, {}))
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    @asynccontextmanager
    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer as it comes, in chunks. Raises as `get` does, also while it is read."""
        silence = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        async with self._response("GET", path, {**query, "watch": "true"}, timeout=silence) as response:
            yield response.content.iter_any()

    async def apply(self, path: str, manager: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Apply fields of an object on the server's side, as this field manager; the object as it is then. Raises as
        `get` does."""
        query = {"fieldManager": manager, "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        async with self._response("PATCH", path, query, orjson.dumps(body), headers, timeout=_whole()) as response:
            return _stored(await response.read())

    async def create(self, path: str, manager: str, body: Mapping[str, object]) -> None:
        """Make an object in this folder; it must not be there. Raises as `get` does."""
        query = {"fieldManager": manager}
        async with self._response("POST", path, query, orjson.dumps(body), _JSON, timeout=_whole()) as response:
            await response.read()

    async def delete(self, path: str, uid: str) -> None:
        """Delete the object with this uid, and no later one of its name. Raises as `get` does."""
        body = orjson.dumps({"preconditions": {"uid": uid}, "propagationPolicy": "Background"})
        async with self._response("DELETE", path, {}, body, _JSON, timeout=_whole()) as response:
            await response.read()

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's own
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        request = self._session.request(
            method,
            f"{self._credentials.server}{path}",
            params=query,
            data=body,
            headers={**(headers or {}), **self._credentials.headers()},
            timeout=timeout,
            allow_redirects=False,
            server_hostname=self._credentials.server_name,
        )
        async with request as response:
            if response.status not in GOOD:
                after = units.duration(f"{response.headers.get('Retry-After', '')}s") or 0.0
                raise RefusedError(response.status, decoding.message(await response.read()), after)
            yield response


@asynccontextmanager
async def connected(credentials: Credentials) -> AsyncIterator[ApiServer]:
    """Raises OSError for certificates that cannot be read. No connection is opened yet."""
    connector = aiohttp.TCPConnector(ssl=credentials.tls(), limit=MOST_CONNECTIONS)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}  # to unpack would take the loop's time
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield ApiServer(session, credentials)


def _stored(body: bytes) -> dict[str, Any]:
    """What is no object comes from something between here and the server."""
    try:
        return decoding.stored(body)
    except UnreadableError as error:
        raise RefusedError(HTTPStatus.BAD_GATEWAY, str(error)) from None


def _whole() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
