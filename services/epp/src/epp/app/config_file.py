"""Where the scheduler's configuration comes from: a file, a text of the command line, or the default.

A shell around `epp.config`, which is pure. The file is followed: a changed one is read and validated in a worker
thread, a good one is swapped in between two requests, a bad one is reported once and the one in force stays.
"""

import asyncio
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from epp.config import ConfigError, SchedulerConfig, default_config, parse_config
from epp.config.catalogue import PLUGINS
from epp.config.flags import ScrapeFlags
from gateway.service import logs

log = logs.get(__name__)

# How soon an edit is noticed. A look a second costs nothing and also sees a mounted ConfigMap's symlink swap.
POLL_SECONDS = 1.0
MAX_BYTES = 1 << 20  # what a ConfigMap holds
PLUGIN_GROUP = "pointsman.epp.plugins"
CLASSIFIER_GROUP = "pointsman.bbr.classifiers"
NO_FLAGS: Final = ScrapeFlags()


class UnreadableError(Exception):
    """The configuration file, or a package with plugins, cannot be read."""


def own_plugins() -> Mapping[str, type[Any]]:
    """Plugin types that installed packages bring."""
    found: dict[str, type[Any]] = {}
    for entry in metadata.entry_points(group=PLUGIN_GROUP):
        if entry.name in PLUGINS or entry.name in found:
            raise UnreadableError(f"plugin {entry.name!r} of {entry.value}: there is a type of that name already")
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # noqa: BLE001 - a package of the user's may fail in any way
            raise UnreadableError(f"plugin {entry.name!r} of {entry.value} cannot be loaded: {error}") from None
    return found


def classifiers() -> Mapping[str, Callable[[], Any]]:
    """The guard's classifiers that installed packages bring; the body-based router's have the same group."""
    try:
        return {entry.name: entry.load() for entry in metadata.entry_points(group=CLASSIFIER_GROUP)}
    except Exception as error:  # noqa: BLE001 - a package of the user's may fail in any way
        raise UnreadableError(f"a classifier cannot be loaded: {error}") from None


class ConfigSource:
    """Reads the configuration now and follows its file."""

    def __init__(self, file: Path | None, text: str | None, flags: ScrapeFlags = NO_FLAGS) -> None:
        self._flags = flags
        self._file = file
        self._text = text
        self._plugins = own_plugins()
        self._seen = ""

    def load(self) -> SchedulerConfig:
        """The configuration now; raises ConfigError or UnreadableError."""
        if self._file is not None:
            self._seen = _read(self._file)
            return self._flags.applied(parse_config(self._seen, str(self._file), self._plugins))
        if self._text is not None:
            return self._flags.applied(parse_config(self._text, "--config-text", self._plugins))
        return self._flags.applied(default_config())

    async def follow(self, apply: Callable[[SchedulerConfig], None]) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            config = await asyncio.to_thread(self.look)
            if config is not None:
                apply(config)
                log.info("configuration reloaded", file=str(self._file))

    def look(self) -> SchedulerConfig | None:
        """The configuration, if the file has changed since the last look and is right; a mistake is reported once."""
        if self._file is None:
            return None
        try:
            text = _read(self._file)
            if text == self._seen:
                return None
            self._seen = text
            return self._flags.applied(parse_config(text, str(self._file), self._plugins))
        except UnreadableError as error:
            if str(error) != self._seen:
                self._seen = str(error)
                _complain(error)
        except ConfigError as error:
            _complain(error)
        return None


def _complain(error: Exception) -> None:
    log.error("the configuration is wrong; the one in force stays", problems=str(error).splitlines())


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            found = opened.read(MAX_BYTES + 1)
        if len(found) > MAX_BYTES:
            raise UnreadableError(f"{file}: larger than {MAX_BYTES} bytes")
        return found.decode("utf-8")
    except OSError as error:
        raise UnreadableError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{file}: not UTF-8 text, at byte {error.start}") from None
