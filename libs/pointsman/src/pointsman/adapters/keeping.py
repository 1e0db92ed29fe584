"""Keeps one server as the file says: asks, acts, and reports what changed, each thing once. A shell around `steps`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from pointsman.adapters.config import Adapter, Config
from pointsman.adapters.server import DownError, RefusedError
from pointsman.adapters.steps import Failures, Served, Step, steps_for

GOOD_EVENTS: Final = frozenset({"loaded", "unloaded", "answers"})


class ModelServer(Protocol):
    """What is asked of a server; `DownError` and `RefusedError` are its answers, too."""

    @property
    def url(self) -> str: ...

    def served(self) -> tuple[Served, ...]: ...

    def load(self, adapter: Adapter, /) -> None: ...

    def unload(self, name: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something that changed at a server, for a person or a program."""

    server: str
    event: str  # loaded, unloaded, failed, unknown, down, answers
    adapter: str
    message: str

    def __str__(self) -> str:
        return f"{self.server}: {self.message}"


class Keeper:
    """Of one server. `is_right` says whether it was as the file says when it was last looked at."""

    def __init__(self, server: ModelServer, *, prunes: bool) -> None:
        self._server = server
        self._prunes = prunes
        self._failures = Failures()
        self._loaded: frozenset[str] = frozenset()  # by this keeper, as far as it knows
        self._reported: dict[tuple[str, str], str] = {}
        self._is_down = False
        self.is_right = False

    def keep(self, config: Config, now: float) -> list[Event]:
        """Look and act once."""
        try:
            served = self._server.served()
        except (DownError, RefusedError) as error:
            self.is_right = False
            self._is_down = True
            return [*self._once("down", "", f"does not answer: {error}")]
        events = [self._event("answers", "", "answers again")] if self._is_down else []
        self._is_down = False
        self._reported.pop(("down", ""), None)
        return [*events, *self._act(config, served, now)]

    def _act(self, config: Config, served: tuple[Served, ...], now: float) -> Iterator[Event]:
        found = steps_for(config, served, prunes=self._prunes)
        wanted = {step.name for step in found.steps}
        self._failures = self._failures.without(self._failures.counts.keys() - wanted)
        self._forget(wanted | {*found.unknown} | found.impossible.keys())
        for name, reason in found.impossible.items():
            yield from self._once("failed", name, f"cannot load {name}: {reason}")
        for name in found.unknown:
            yield from self._once("unknown", name, f"{name} is loaded and not in the file: left alone (see --prune)")
        for step in found.steps:
            if self._failures.allows(step.name, now):
                yield from self._take(step, now)
        self.is_right = not found.impossible and not self._failures.counts

    def _take(self, step: Step, now: float) -> Iterator[Event]:
        try:
            if step.adapter is None or step.replace:
                self._server.unload(step.name)
            if step.adapter is not None:
                self._server.load(step.adapter)
        except (DownError, RefusedError) as error:
            self._failures = self._failures.with_failure(step.name, now)
            verb = "unload" if step.adapter is None else "load"
            yield from self._once("failed", step.name, f"cannot {verb} {step.name}: {error}; it is tried again")
            return
        self._failures = self._failures.without((step.name,))
        self._reported.pop(("failed", step.name), None)
        if step.adapter is None:
            self._loaded -= {step.name}
            yield self._event("unloaded", step.name, f"unloaded {step.name}")
            return
        again = " again: the server had lost it" if step.name in self._loaded and not step.replace else ""
        other = ", which was another" if step.replace else ""
        self._loaded |= {step.name}
        yield self._event("loaded", step.name, f"loaded {step.name} from {step.adapter.source}{other}{again}")

    def _once(self, event: str, adapter: str, message: str) -> Iterator[Event]:
        """Unless it was the last thing reported of this."""
        if self._reported.get((event, adapter)) != message:
            self._reported[event, adapter] = message
            yield self._event(event, adapter, message)

    def _forget(self, names: set[str]) -> None:
        """What no longer holds is reported anew when it holds again."""
        self._reported = {key: text for key, text in self._reported.items() if not key[1] or key[1] in names}

    def _event(self, event: str, adapter: str, message: str) -> Event:
        return Event(self._server.url, event, adapter, message)
