"""Runs a stack: check, start everything under honcho, wait for a first answer, and stop it all again.

honcho starts the processes, gathers their output, and ends all of them when one ends; this module never starts a
service itself. It adds what honcho lacks: checks before the start, readiness, one run at a time (a lock on the run's
folder), answers that are finished before the end, and the end of processes that a killed runner left behind.
"""

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from processes.drain import drain
from processes.plan import HOST, Process, Settings, processes
from processes.preflight import StartError, check
from processes.sweep import RUN_VARIABLE, sweep

READY_SECONDS = 60.0  # a cold Envoy and ten Python processes on two busy cores need about ten
STOP_SECONDS = 15.0  # honcho kills what has not ended five seconds after SIGTERM
_TAIL_LINES = 12
_OWN_SERVICES = r"^cluster\.(epp_.*|bbr)\.membership_healthy$"  # Envoy's figures of them


def join(run: Path, command: Sequence[str]) -> None:
    """Make this process one of its run: start it again, by its command, with the variable that finds it later."""
    if os.environ.get(RUN_VARIABLE) != str(run):
        os.execve(command[0], [*command], os.environ | {RUN_VARIABLE: str(run)})  # noqa: S606 - our own command


def serve(settings: Settings, banner: str, farewell: str = "stopped") -> int:
    """Run the stack until it is stopped. 0 after Ctrl-C or SIGTERM, 1 when a process broke.

    The banner is printed once it is up, the farewell when it was stopped. `StartError` says why it cannot start; then
    nothing was started. Within `exclusive` alone.
    """
    check(settings)
    run = settings.layout.run
    log = run / "log"
    runner = _start(settings, log)
    stop = _Stop()
    try:
        failure = _wait_until_ready(settings, runner, stop)
        if failure is None and not stop.requested:
            print(banner, flush=True)  # noqa: T201
            while runner.poll() is None and not stop.requested:
                time.sleep(0.2)
        crashed = not stop.requested
        if stop.requested:
            drain(settings.ports, lambda: runner.poll() is not None or stop.is_hurried)
    finally:
        _end(runner)
        sweep(run)
    if crashed:
        print(failure or _last_words(log), file=sys.stderr)  # noqa: T201
        return 1
    print(farewell)  # noqa: T201
    return 0


def _start(settings: Settings, log: Path) -> "subprocess.Popen[bytes]":
    procfile = settings.layout.run / "Procfile"
    procfile.write_text("".join(f"{each.name}: {_command(each)}\n" for each in processes(settings)))
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    honcho = (
        sys.executable,
        "-m",
        "honcho",
        "--no-colour",
        "-f",
        str(procfile),
        "-d",
        str(settings.layout.root),
        "start",
    )
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own command line
            honcho, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def _command(process: Process) -> str:
    pairs = [f"{name}={shlex.quote(value)}" for name, value in process.environment.items()]
    return " ".join(["exec", "env", *pairs, shlex.join(process.arguments)])


class _Stop:
    """Requests to end: a person's (Ctrl-C, twice in a hurry) or `make down`'s (SIGTERM)."""

    def __init__(self) -> None:
        self._requests = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._request)

    @property
    def requested(self) -> bool:
        """Whether the run shall end."""
        return self._requests > 0

    @property
    def is_hurried(self) -> bool:
        """Whether it shall end without waiting for answers in flight."""
        return self._requests > 1

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self._requests += 1


def _wait_until_ready(settings: Settings, runner: "subprocess.Popen[bytes]", stop: _Stop) -> str | None:
    """Wait for each process, then for an answer through the gateway. Return what went wrong, if anything did."""
    deadline = time.monotonic() + READY_SECONDS
    pending = {each.name: each.ready for each in processes(settings)}
    while time.monotonic() < deadline and not stop.requested:
        if runner.poll() is not None:
            return _last_words(settings.layout.run / "log")
        pending = {name: url for name, url in pending.items() if not _answers(url)}
        if not pending and _is_answered(settings):
            return None
        time.sleep(0.1)
    waiting = ", ".join(pending) or "an answer through the gateway"
    return (
        None
        if stop.requested
        else f"not ready within {READY_SECONDS:.0f} s: {waiting}\n{_last_words(settings.layout.run / 'log')}"
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - a loopback address from the plan
            return bool(response.status == 200)
    except OSError:
        return False


def _is_answered(settings: Settings) -> bool:
    if settings.probe is None:
        return _has_found_its_services(settings)
    request = urllib.request.Request(
        f"http://{HOST}:{settings.ports.gateway}{settings.probe.path}",
        data=settings.probe.body,
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            return bool(response.status == settings.probe.status)
    except urllib.error.HTTPError as refused:
        return refused.code == settings.probe.status
    except OSError:
        return False


def _has_found_its_services(settings: Settings) -> bool:
    """Whether Envoy thinks every picker and the router healthy."""
    query = urllib.parse.urlencode({"filter": _OWN_SERVICES})
    try:
        with urllib.request.urlopen(f"http://{HOST}:{settings.ports.envoy_admin}/stats?{query}", timeout=5) as response:
            lines = str(response.read(), "utf-8").splitlines()
    except OSError:
        return False
    return bool(lines) and not any(line.endswith(": 0") for line in lines)


def _end(runner: "subprocess.Popen[bytes]") -> None:
    if runner.poll() is None:
        runner.terminate()
    try:
        runner.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        runner.kill()
        runner.wait()


def _last_words(log: Path) -> str:
    """Which process ended first, how, and its last lines. honcho writes `TIME NAME.1 | line`."""
    lines = log.read_text(errors="replace").splitlines()
    ended = next((line.partition("| ")[2] for line in lines if " stopped (rc=" in line), "honcho ended")
    name, _, how = ended.partition(" ")
    own = [line.partition("| ")[2] for line in lines if f" {name} " in line.partition("|")[0]]
    return "\n".join([f"{name.removesuffix('.1')} {how}", *own[-_TAIL_LINES:], f"all of it: {log}"])


@contextmanager
def exclusive(run: Path) -> Iterator[None]:
    """Be the only runner in a folder, and end what an earlier one left; `StartError` where another one is."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartError(f"already running as process {lock.read().strip()}: stop it first") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        sweep(run)  # what an earlier run that was killed may have left
        yield
        lock.truncate(0)
