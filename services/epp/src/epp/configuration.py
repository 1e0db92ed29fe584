"""Where the scheduler's configuration comes from: a file, a text, or the default; the file is followed.

A shell. A changed file is read whole and validated; a good one is swapped in between two requests, a bad one is
reported once and the one in force stays.
"""

import asyncio
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from epp.config import ConfigError, SchedulerConfig, default_config, parse_config
from gateway import logs

log = logs.get(__name__)

# How soon an edit is noticed. A stat a second costs nothing and also sees a mounted ConfigMap's symlink swap.
POLL_SECONDS = 1.0
PLUGIN_GROUP = "pointsman.epp.plugins"


def own_plugins() -> Mapping[str, type[Any]]:
    """Plugin types that installed packages bring."""
    return {entry.name: entry.load() for entry in metadata.entry_points(group=PLUGIN_GROUP)}


class UnreadableError(Exception):
    """The configuration file cannot be read."""


class ConfigSource:
    """Reads the configuration now and follows its file."""

    def __init__(self, file: Path | None, text: str | None) -> None:
        self._file = file
        self._text = text
        self._plugins = own_plugins()
        self._seen = ""

    def load(self) -> SchedulerConfig:
        """The configuration now; raises ConfigError or UnreadableError."""
        if self._file is not None:
            self._seen = self._read(self._file)
            return parse_config(self._seen, str(self._file), self._plugins)
        if self._text is not None:
            return parse_config(self._text, "--config-text", self._plugins)
        return default_config()

    async def follow(self, apply: Callable[[SchedulerConfig], None]) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._file is not None:
                self._look(self._file, apply)

    def _look(self, file: Path, apply: Callable[[SchedulerConfig], None]) -> None:
        try:
            text = self._read(file)
        except UnreadableError as error:
            text = f"unreadable: {error}"
        if text == self._seen:
            return
        self._seen = text
        try:
            config = parse_config(self._read(file), str(file), self._plugins)
        except (ConfigError, UnreadableError) as error:
            log.error("the configuration is wrong; the one in force stays", problems=str(error).splitlines())
            return
        apply(config)
        log.info("configuration reloaded", file=str(file))

    def _read(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise UnreadableError(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UnreadableError(f"{file}: not UTF-8 text, at byte {error.start}") from None
