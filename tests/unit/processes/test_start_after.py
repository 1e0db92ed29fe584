"""A program starts once another one answers, or after a bound."""

import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from processes.plan import HOST
from processes.start_after import await_answer
from tests.conftest import free_ports


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def start(url: str, seconds: float, made: Path) -> "subprocess.Popen[bytes]":
    """Touch a file after what the URL stands for."""
    touch = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    command = (sys.executable, "-m", "processes.start_after", str(seconds), url, sys.executable, "-c", touch, str(made))
    return subprocess.Popen(command)


def test_a_program_starts_once_the_other_one_answers(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    made = tmp_path / "made"
    waiting = start(f"http://{HOST}:{port}/readyz", 60.0, made)
    time.sleep(0.5)
    assert waiting.poll() is None
    assert not made.exists()

    with HTTPServer((HOST, port), Ready) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert waiting.wait(30) == 0
        server.shutdown()
    assert made.exists()


def test_it_starts_after_the_bound_where_the_other_one_never_answers(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    made = tmp_path / "made"

    assert start(f"http://{HOST}:{port}/readyz", 0.2, made).wait(30) == 0
    assert made.exists()


def test_one_that_answers_is_not_waited_for() -> None:
    assert await_answer(lambda: True, 0.0)
    assert not await_answer(lambda: False, 0.0)
