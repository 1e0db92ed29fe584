"""`pointsman adapters sync` beside simulated model servers."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.command.command import simulator
from tests.e2e.stack import wait_until

MODEL = "Qwen/Qwen3-32B"


def config(file: Path, port: int, exist: dict[str, str], absent: tuple[str, ...] = ()) -> None:
    """Write the file as a ConfigMap is mounted, at once."""
    wanted = [{"id": name, "source": source} for name, source in exist.items()]
    body = {"host": HOST, "port": port, "ensureExist": {"models": wanted}}
    body |= {"ensureNotExist": {"models": [{"id": name} for name in absent]}}
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"vLLMLoRAConfig": body}))
    new.replace(file)


def adapters(port: int) -> dict[str, str]:
    found = httpx.get(f"http://{HOST}:{port}/v1/models", timeout=10).json()["data"]
    return {model["id"]: model["root"] for model in found if model["parent"]}


class Following:
    """The running command, and what it has written."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def has_said(self, words: str, times: int = 1) -> bool:
        return self._log.read_text().count(words) >= times

    def await_words(self, words: str, times: int = 1) -> None:
        wait_until(lambda: self.has_said(words, times), 30, self._log.read_text)


@contextmanager
def following(root: Path, folder: Path, *words: str) -> Iterator[Following]:
    command = [str(root / ".venv/bin/pointsman"), "adapters", "sync", "--interval", "0.5", *words]
    log = folder / "log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield Following(log)
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_a_server_follows_the_file_and_gets_back_what_a_restart_has_lost(root: Path, tmp_path: Path) -> None:
    binaries, file, (port,) = root / ".venv/bin", tmp_path / "adapters.yaml", free_ports(1)
    config(file, port, {"food": "/food", "code": "/code"}, ("never",))
    with following(root, tmp_path, "--config", str(file)) as log:
        log.await_words("does not answer: Connection refused")
        with simulator(binaries, MODEL, port):
            wait_until(lambda: adapters(port) == {"food": "/food", "code": "/code"}, 30)
            log.await_words("answers again")

            config(file, port, {"food": "/food/2"}, ("code",))
            wait_until(lambda: adapters(port) == {"food": "/food/2"}, 30)
            log.await_words("loaded food from /food/2, which was another")

            file.write_text("vLLMLoRAConfig: {ensureExist: 1}")
            log.await_words("the servers are kept as it was before")
        log.await_words("does not answer", 2)
        with simulator(binaries, MODEL, port):
            wait_until(lambda: adapters(port) == {"food": "/food/2"}, 30)
            log.await_words("loaded food from /food/2 again: the server had lost it")


def test_what_cannot_be_loaded_and_what_nobody_asked_for_is_said_once(root: Path, tmp_path: Path) -> None:
    binaries, file, (port,) = root / ".venv/bin", tmp_path / "adapters.yaml", free_ports(1)
    with simulator(binaries, MODEL, port):
        httpx.post(f"http://{HOST}:{port}/v1/load_lora_adapter", json={"lora_name": "own", "lora_path": "/own"})
        config(file, port, {MODEL: "/base", "food": "/food"})
        with following(root, tmp_path, "--config", str(file)) as log:
            log.await_words(f"cannot load {MODEL}: 400: '{MODEL}' is the name of the base model.; it is tried again")
            log.await_words("own is loaded and not in the file: left alone (see --prune)")
            wait_until(lambda: adapters(port) == {"own": "/own", "food": "/food"}, 30)
            assert not log.has_said("own is loaded", 2)

        config(file, port, {"food": "/food"})
        command = [str(root / ".venv/bin/pointsman"), "adapters", "sync", "--config", str(file), "--once", "--json"]
        done = subprocess.run([*command, "--prune"], capture_output=True, text=True, check=False, timeout=60)

        assert (done.returncode, adapters(port)) == (0, {"food": "/food"})
        assert json.loads(done.stdout) == {
            "server": f"http://{HOST}:{port}", "event": "unloaded", "adapter": "own", "message": "unloaded own",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (None, [], "No such file or directory"),
        ("a: 1", [], "no vLLMLoRAConfig in it"),
        ("vLLMLoRAConfig: {}", ["--server", "ftp://a"], "expected http://HOST:PORT"),
        ("vLLMLoRAConfig: {}", ["--api-key-env", "NOT_SET_IN_ANY_TEST"], "that variable is not set"),
        ("vLLMLoRAConfig: {}", ["--pool", "p", "--url", "http://127.0.0.1:1"], "is no picker that answers"),
        ("vLLMLoRAConfig: {}", ["--interval", "0"], "expected 0.1 to 3600 seconds"),
    ],
)
def test_what_cannot_be_followed_ends_with_status_two(
    root: Path, tmp_path: Path, text: str | None, options: list[str], words: str
) -> None:
    file = tmp_path / "adapters.yaml"
    if text is not None:
        file.write_text(text)
    command = [str(root / ".venv/bin/pointsman"), "adapters", "sync", "--config", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"])
def test_a_stranger_in_a_pickers_place_ends_with_one_line(root: Path, tmp_path: Path, answer: bytes) -> None:
    file = tmp_path / "adapters.yaml"
    file.write_text("vLLMLoRAConfig: {}")
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(60)  # of a command that never connects
        thread = Thread(target=answer_once, args=(server, answer))
        thread.start()
        url = f"http://{HOST}:{server.getsockname()[1]}"
        command = [str(root / ".venv/bin/pointsman"), "adapters", "sync", "--config", str(file), "--pool", "p"]
        done = subprocess.run([*command, "--url", url], capture_output=True, text=True, check=False, timeout=60)
        thread.join()

    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert url in line
    assert "operators' port" in line


def answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)
