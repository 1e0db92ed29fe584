"""`pointsman adapters sync`: follows the file and the servers until it is stopped. I/O.

A server that hangs costs no other one its turn: each has a thread for as long as it takes.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pointsman.adapters.config import Config, InvalidConfigError, config_of
from pointsman.adapters.keeping import GOOD_EVENTS, Event, Keeper
from pointsman.adapters.server import Server
from pointsman.commands.command import UNABLE, Command, add_json, add_run, seconds_within
from pointsman.commands.picker import NoPickerError, picker_url, state

FILE_SECONDS: Final = 0.5  # between two looks at the file
STOP_SECONDS: Final = 5.0  # for what is under way at the end
MAX_SERVERS: Final = 256  # threads, of which nearly all wait


def _add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    sync = actions.add_parser(
        "sync", help="load and unload adapters as a file says, and again after each change", epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_run(sync)
    add_json(sync)
    add = sync.add_argument
    add("--config", type=Path, required=True, metavar="FILE", help="vLLMLoRAConfig, bare or in a ConfigMap; followed")
    where = sync.add_mutually_exclusive_group()
    where.add_argument("--server", action="append", default=[], type=_url, metavar="URL",
                       help="a model server, instead of the file's host and port; repeat it")  # fmt: skip
    where.add_argument("--pool", metavar="NAMESPACE/NAME", help="all servers of this pool of a running picker")
    add("--url", help="of the endpoint picker's operators' port, for --pool; default: this host's")
    add("--interval", type=seconds_within(0.1, 3600), default=5.0, metavar="SECONDS",
        help="between two looks at the servers (default: 5)")  # fmt: skip
    add("--api-key-env", metavar="NAME", help="the environment variable with the key that the servers want")
    add("--prune", action="store_true", help="unload adapters that the file does not name")
    add("--once", action="store_true", help="look and act once; 1 if any server is not as the file says")


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.rstrip("/") or parts.query:
        raise argparse.ArgumentTypeError(f"expected http://HOST:PORT, got {text!r}")
    return text.rstrip("/")


class _UnableError(Exception):
    """It cannot begin; the message says why."""


def _run(given: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end it
    try:
        sync = _Sync(given)
        sync.begin()
    except (_UnableError, InvalidConfigError) as error:
        print(f"pointsman: {error}", file=sys.stderr)
        return UNABLE
    try:
        if given.once:
            sync.round(time.monotonic())
            sync.finish()
            return 0 if sync.is_right else 1
        sync.follow()
    except KeyboardInterrupt:
        if not sync.finish(STOP_SECONDS):
            sys.stdout.flush()
            os._exit(0)  # a server that hangs would keep its thread, and so this process
    return 0


class _Sync:
    """The file's last good content, and a keeper for each server."""

    def __init__(self, given: argparse.Namespace) -> None:
        key = os.environ.get(given.api_key_env) if given.api_key_env else None
        if given.api_key_env and not key:
            raise _UnableError(f"--api-key-env {given.api_key_env}: that variable is not set")
        self._given = given
        self._key = key
        self._text = _read(given.config)
        self._config = config_of(self._text, str(given.config))
        self._show: Callable[[Event], None] = _as_json if given.json else _as_line
        self._keepers: dict[str, Keeper] = {}
        self._running: dict[str, Future[list[Event]]] = {}
        self._threads = ThreadPoolExecutor(MAX_SERVERS)

    @property
    def is_right(self) -> bool:
        """Whether there are servers, all as the file says."""
        return bool(self._keepers) and all(keeper.is_right for keeper in self._keepers.values())

    def begin(self) -> None:
        """Find the servers; a pool that cannot be found is an error now, and waited for later."""
        self._follow_servers(_urls(self._given, self._config))

    def follow(self) -> None:
        """Until it is interrupted."""
        looked_at = float("-inf")
        while True:
            if self._has_changed() or time.monotonic() - looked_at >= self._given.interval:
                looked_at = time.monotonic()
                self._look(looked_at)
            time.sleep(FILE_SECONDS)
            self._report()

    def _look(self, now: float) -> None:
        try:
            self._follow_servers(_urls(self._given, self._config))
        except _UnableError as error:  # of a picker, which may come back
            print(f"pointsman: {error}", file=sys.stderr, flush=True)
        self.round(now)

    def round(self, now: float) -> None:
        """Let each server be kept, unless it still is."""
        for url, keeper in self._keepers.items():
            if url not in self._running:
                self._running[url] = self._threads.submit(keeper.keep, self._config, now)

    def finish(self, seconds: float | None = None) -> bool:
        """Wait for all of them, for so long at most; whether they came to an end."""
        unfinished = wait(self._running.values(), seconds).not_done
        self._report()
        return not unfinished

    def _report(self) -> None:
        for url, future in [*self._running.items()]:
            if future.done():
                del self._running[url]
                for event in future.result():
                    self._show(event)

    def _follow_servers(self, urls: Sequence[str]) -> None:
        for url in self._keepers.keys() - set(urls):
            del self._keepers[url]
        for url in urls[:MAX_SERVERS]:
            if url not in self._keepers:
                self._keepers[url] = Keeper(Server(url, self._key), prunes=self._given.prune)

    def _has_changed(self) -> bool:
        """Take the file over if it is another one now, and good."""
        try:
            text = _read(self._given.config)
            if text == self._text:
                return False
            self._text = text
            self._config = config_of(text, str(self._given.config))
        except (_UnableError, InvalidConfigError) as error:
            print(f"pointsman: {error}\nthe servers are kept as it was before", file=sys.stderr, flush=True)
            return False
        return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _UnableError(f"--config {path}: {getattr(error, 'strerror', None) or error}") from None


def _urls(given: argparse.Namespace, config: Config) -> Sequence[str]:
    if given.pool:
        return _members(picker_url(given), given.pool)
    host = f"[{config.host}]" if ":" in config.host else config.host
    servers: Sequence[str] = given.server
    return servers or (f"http://{host}:{config.port}",)


def _members(url: str, pool: str) -> Sequence[str]:
    """The addresses of a pool's endpoints, as its picker knows them."""
    try:
        pools = state(url, "pools")
    except NoPickerError as error:
        raise _UnableError(f"--pool {pool}: there is no picker that answers: {error}") from None
    wanted = pool if "/" in pool else f"default/{pool}"
    for each in pools:
        if each["pool"] == wanted:
            return [f"http://{endpoint['endpoint']}" for endpoint in each["endpoints"]]
    known = ", ".join(str(each["pool"]) for each in pools) or "none"
    raise _UnableError(f"--pool {pool}: no such pool; the picker knows {known}")


def _as_line(event: Event) -> None:
    print(event, file=sys.stdout if event.event in GOOD_EVENTS else sys.stderr, flush=True)


def _as_json(event: Event) -> None:
    print(json.dumps(asdict(event)), flush=True)


_EXAMPLES: Final = """\
examples:
  pointsman adapters sync --config /config/configmap.yaml         beside one server, as a sidecar
  pointsman adapters sync --config adapters.yaml --pool default/vllm-qwen3-32b
                                                                  for all servers of a pool
  pointsman adapters sync --config adapters.yaml --once --json    once, from a script
"""
ADAPTERS: Final = Command(
    "adapters", "LoRA adapters of model servers, by a file", _EXAMPLES.partition("\n")[2], _add, _run
)
