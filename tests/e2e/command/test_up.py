"""`make up` and `make down`, as a person types them."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import pytest

from processes.plan import HOST, Ports
from processes.sweep import members
from tests.conftest import free_ports
from tests.e2e.command.command import url_in
from tests.e2e.stack import wait_until
from tests.e2e.test_requests import chat


def up_command(root: Path, gateway: int) -> list[str]:
    """What `make up` runs, on another port."""
    options = ["--dir", str(root / ".run"), "--stop-hint", "make down", "--gateway-port", str(gateway)]
    return [str(root / ".venv/bin/pointsman"), "up", *options]


def down_command(root: Path) -> list[str]:
    """What `make down` runs."""
    return [str(root / ".venv/bin/pointsman"), "down", "--dir", str(root / ".run")]


@pytest.fixture
def up(root: Path, envoy_binary: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, started by its command, up and announced."""
    gateway, admin = free_ports(2)
    command = [
        *up_command(root, gateway),
        "--envoy-admin-port",
        str(admin),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def announced(process: "subprocess.Popen[str]") -> str:
    """What was printed up to the line that says how to stop."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "make down" in line:
            return "".join(printed)
    assert process.stderr is not None
    raise AssertionError("".join(printed) + process.stderr.read())


def test_it_announces_a_gateway_that_answers_and_stops_on_ctrl_c_leaving_nothing(
    up: "subprocess.Popen[str]", root: Path
) -> None:
    text = announced(up)
    assert httpx.post(f"{url_in(text)}/v1/chat/completions", json=chat("Qwen/Qwen3-32B"), timeout=30).status_code == 200
    assert "curl" in text
    assert str(root / ".run") in text

    up.send_signal(signal.SIGINT)

    assert up.wait(40) == 0
    assert members(root / ".run") == frozenset()


def test_make_down_stops_it_from_another_terminal(up: "subprocess.Popen[str]", root: Path) -> None:
    announced(up)

    down = subprocess.run(down_command(root), capture_output=True, text=True, check=False, timeout=60)

    assert (down.returncode, down.stdout.strip()) == (0, "stopped")
    assert up.wait(40) == 0
    assert members(root / ".run") == frozenset()


@contextmanager
def held_stream(url: str) -> Iterator[Iterator[str]]:
    """The lines of a stream that does not end before `release`."""
    body = chat("phi-4-mini-instruct", stream=True, max_tokens=20, ignore_eos=True)
    servers = [f"http://{HOST}:{port}/admin/faults" for port in Ports().simulators]
    for server in servers:
        httpx.post(server, json={"hold": {"after_tokens": 2}}).raise_for_status()
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        yield lines


def release() -> None:
    """Let held streams go on. The stack may end as soon as the last one has."""
    for port in Ports().simulators:
        with suppress(httpx.ConnectError):
            httpx.delete(f"http://{HOST}:{port}/admin/faults").raise_for_status()


def test_make_down_lets_a_stream_finish_and_refuses_new_requests(up: "subprocess.Popen[str]", root: Path) -> None:
    url = url_in(announced(up))
    with (
        held_stream(url) as lines,
        subprocess.Popen(down_command(root), stdout=subprocess.PIPE, text=True) as down,
    ):
        wait_until(lambda: is_refused(url), 20)
        assert down.poll() is None
        release()
        rest = list(lines)
        printed, _ = down.communicate(timeout=60)

    assert "data: [DONE]" in rest
    assert printed.strip() == "stopped"
    assert up.wait(40) == 0
    assert members(root / ".run") == frozenset()


def test_a_second_ctrl_c_does_not_wait_for_a_stream(up: "subprocess.Popen[str]", root: Path) -> None:
    url = url_in(announced(up))
    with held_stream(url) as lines:
        up.send_signal(signal.SIGINT)
        wait_until(lambda: is_refused(url), 20)
        assert up.poll() is None
        up.send_signal(signal.SIGINT)

        assert up.wait(40) == 0
        with pytest.raises(httpx.HTTPError):
            list(lines)


def is_refused(url: str) -> bool:
    """Whether the gateway takes no new connection."""
    try:
        httpx.get(url, timeout=5)
    except httpx.ConnectError:
        return True
    return False


def test_a_crash_of_one_process_stops_all_and_says_which(up: "subprocess.Popen[str]", root: Path) -> None:
    announced(up)
    victim = next(pid for pid in members(root / ".run") if "services" not in command_of(pid) and is_picker(pid))

    os.kill(victim, signal.SIGKILL)
    _, complaint = up.communicate(timeout=60)

    assert up.returncode == 1
    assert complaint.startswith("epp stopped")
    assert members(root / ".run") == frozenset()


def test_a_killed_runner_leaves_processes_that_make_down_ends(up: "subprocess.Popen[str]", root: Path) -> None:
    announced(up)
    up.kill()
    up.wait()
    assert members(root / ".run")

    subprocess.run(down_command(root), check=True, timeout=60, capture_output=True)

    wait_until(lambda: not members(root / ".run"), 10)


def command_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def is_picker(pid: int) -> bool:
    """Whether a process is the endpoint picker itself."""
    return re.search(r"bin/epp run", command_of(pid)) is not None


def test_a_busy_port_is_named_and_nothing_is_started(root: Path, envoy_binary: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = up_command(root, port)
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert result.returncode == 2
    assert f"port {port} (gateway) is not free" in result.stderr
    assert "--port-offset" in result.stderr
    assert "Traceback" not in result.stderr
    assert members(root / ".run") == frozenset()


def test_a_bad_manifest_is_named_and_nothing_is_started(root: Path, envoy_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: nonsense}\n")
    command = up_command(root, free_ports(1)[0])
    command += ["--config-dir", str(root / "config" / "demo"), "--config-dir", str(tmp_path)]

    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert result.returncode == 2
    assert re.search(r"bad\.yaml:\d+: .*ports", result.stderr), result.stderr
    assert members(root / ".run") == frozenset()
