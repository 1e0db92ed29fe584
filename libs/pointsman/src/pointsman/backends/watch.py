"""Servers that were down when the stack started: asked again until they answer, then served. A thread of its own."""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pointsman.backends.pools import Pool, pools_of
from pointsman.backends.probing import Found, probe
from pointsman.backends.server import InvalidBackendError, Models, Server

INTERVAL_SECONDS: Final = 2.0


class Watch:
    """Asks those that are `down`; `serve` takes the pools each time one more answers."""

    def __init__(self, found: Found, api_key: str | None, serve: Callable[[Sequence[Pool]], None]) -> None:
        self._models: dict[Server, Models] = dict(found.models)
        self._down = tuple(found.down)
        self._api_key = api_key
        self._serve = serve
        self._stopping = threading.Event()

    def start(self) -> None:
        """Ask from now on, as long as the process lives or until `stop`."""
        if self._down:
            threading.Thread(target=self._run, name="backends", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def _run(self) -> None:
        while self._down and not self._stopping.wait(INTERVAL_SECONDS):
            for server in self._down:
                self._look(server)

    def _look(self, server: Server) -> None:
        try:
            found: Mapping[Server, Models] = probe([server], self._api_key).models
            if not found:
                return
            pools = pools_of({**self._models, **found})
        except InvalidBackendError as error:
            _say(f"not served: {error}")
            self._down = tuple(each for each in self._down if each != server)
            return
        self._models.update(found)
        self._down = tuple(each for each in self._down if each != server)
        self._serve(pools)
        _say(f"{server.url} answers and is served now")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - a command's notice
