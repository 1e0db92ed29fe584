"""What commands read on an operators' port: JSON, or one line that says why not and what helps."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from gateway.service.access import VARIABLE
from gateway.service.operators import PortError, fetch
from tests.conftest import free_ports

ANSWERS = {
    "/debug/pools": (200, b'{"pools": []}'),
    "/page": (200, b"<html>\n</html>"),
    "/debug/explain/x": (404, b"no decision of this request is known"),
    "/debug/explain/y": (404, b'{"error": "no decision with this request id is kept"}'),
    "/v1": (404, b'{"error": {"message": "no such path"}}'),
    "/listing": (404, b"<html><p>not found</p></html>"),
}


TYPES = {b"<": "text/html", b"{": "application/json"}


class _Port(BaseHTTPRequestHandler):
    """Wants a token for what is under /locked."""

    def do_GET(self) -> None:
        path = self.path.removeprefix("/locked")
        if path != self.path and self.headers.get("authorization") != "Bearer secret":
            status, body = 401, b""
        else:
            status, body = ANSWERS[path]
        self.send_response(status)
        self.send_header("content-type", TYPES.get(body[:1], "text/plain"))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def port() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Port) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_it_reads_json_with_the_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "secret")
    with port() as url:
        assert fetch(f"{url}/locked/", "/debug/pools", 20) == {"pools": []}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/locked/debug/pools", "answers 401: give its token in POINTSMAN_TOKEN"),
        ("/debug/explain/x", "answers 404: no decision of this request is known"),
        ("/debug/explain/y", "answers 404: no decision with this request id is kept"),
        ("/v1", "answers 404: is it the operators' port of that service?"),
        ("/listing", "answers 404: is it the operators' port of that service?"),
        ("/page", "is no operators' port of that service: give its address by --url"),
    ],
)
def test_what_is_no_answer_is_one_line_with_what_helps(monkeypatch: pytest.MonkeyPatch, path: str, words: str) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with port() as url, pytest.raises(PortError) as refused:
        fetch(url, path, 20)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://a", "http://", "http://a:0", "http://[a"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(PortError, match="expected http://HOST:PORT"):
        fetch(url, "/", 20)


def test_an_error_whose_text_does_not_come_is_one_line_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        thread = Thread(target=_answer_half, args=(server,))
        thread.start()
        with pytest.raises(PortError, match="answers 500: is it the operators' port of that service"):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}", "/", 1)
        thread.join()


def _answer_half(server: socket.socket) -> None:
    """An error with a text that is announced and never sent, until the client leaves."""
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 500 no\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\n")
        connection.settimeout(60)
        connection.recv(1)


def test_where_nobody_listens_it_says_so() -> None:
    (number,) = free_ports(1)
    with pytest.raises(PortError, match="does not answer: Connection refused; is a stack running there"):
        fetch(f"http://127.0.0.1:{number}", "/", 20)
