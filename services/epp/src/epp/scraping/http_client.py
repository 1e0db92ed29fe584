"""A lean keep-alive HTTP/1.1 client for scraping: one connection per endpoint, one request at a time, callbacks.

A shell on asyncio and httptools. Two thousand scrapes a second leave a quarter of a millisecond for each, which a
general client spends on its own request and response objects. Answers above a size are cut, and what is no HTTP closes
the connection; the caller hears of everything by one callback and sets the time limit itself, by `abort`.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

# vLLM's exposition is 36 KB, some hundred KB with many adapters; 100 MB is a broken or hostile endpoint.
ANSWER_LIMIT_BYTES = 4 * 1024 * 1024


_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    is_cut: bool = False  # larger than the limit


# None: the connection ended without a whole answer.
Done = Callable[[Answer | None], None]


class Connection(asyncio.Protocol):
    """One connection. `get` only while no answer is awaited; `is_open` says whether it can be used again."""

    def __init__(self, authority: str) -> None:
        self._host = authority.encode("idna" if not authority.isascii() else "ascii")
        self._transport: asyncio.Transport | None = None
        self._done: Done | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._has_head = self._has_length = False  # of the answer that is being received

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def get(self, path: str, done: Done, *, authorization: str | None = None) -> None:
        """Ask; `done` is called once."""
        if self._done is not None:
            raise RuntimeError("the connection is busy")
        if self._transport is None or self._transport.is_closing():
            done(None)
            return
        self._done, self._pieces, self._size = done, [], 0
        self._has_head = self._has_length = False
        self._parser = httptools.HttpResponseParser(self)
        key = b"" if authorization is None else b"authorization: %s\r\n" % authorization.encode("latin-1")
        self._transport.write(
            b"GET %s HTTP/1.1\r\nhost: %s\r\naccept: */*\r\n%s\r\n" % (path.encode(), self._host, key)
        )

    async def fetch(self, path: str, *, authorization: str | None = None) -> Answer | None:
        """Ask this once, then close; the caller limits the time."""
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        try:
            self.get(
                path,
                lambda answer: None if answered.done() else answered.set_result(answer),
                authorization=authorization,
            )
            return await answered
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up; a waiting `done` hears None."""
        if self._transport is not None:
            self._transport.abort()
        self._finish(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not registered as one

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._done is None:  # an answer that nobody asked for
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        # An answer without a length ends with its connection, as HTTP/1.0 has it.
        is_whole = error is None and self._has_head and not self._has_length
        self._finish(self._answer() if is_whole else None)

    # httptools

    def on_header(self, name: bytes, _value: bytes) -> None:
        self._has_length = self._has_length or name.lower() in _FRAMING

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= ANSWER_LIMIT_BYTES:
            self._pieces.append(body)
            return
        if self._parser is not None and self._done is not None:
            self._finish(Answer(self._parser.get_status_code(), b"", is_cut=True))
            self.abort()

    def on_message_complete(self) -> None:
        if self._parser is None:
            return
        answer = self._answer()
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self._finish(answer)

    def _answer(self) -> Answer | None:
        return None if self._parser is None else Answer(self._parser.get_status_code(), b"".join(self._pieces))

    def _finish(self, answer: Answer | None) -> None:
        done, self._done = self._done, None
        self._pieces = []
        if done is not None:
            done(answer)


async def connect(address: str, port: int, authority: str, context: ssl.SSLContext | None = None) -> Connection:
    """Open a connection; the caller limits the time."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(authority), address, port, ssl=context)
    return connection
