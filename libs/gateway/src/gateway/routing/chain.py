"""Runs plugins over one request. Pure: an embedding that a plugin asks for is handed out, and the run goes on later.

run = chain.run(request)
ask = next(run)          an Ask: answer it with run.send(vector), or None
StopIteration.value      the Result
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from gateway.routing.plugin import Ask, Headers, Named, Note, Outcome, Vector
from gateway.routing.request import RoutedRequest
from gateway.wire.errors import Rejection


class Result(NamedTuple):
    """What all plugins together want: later ones win where two set one header. `body` is None where it stays."""

    headers: Headers = ()
    rejection: Rejection | None = None
    body: bytes | None = None


Run = Generator[Ask, Vector | None, Result]


class Counts(Protocol):
    """What an operator counts."""

    def noted(self, note: Note) -> None:
        """A plugin did something."""

    def plugin_took(self, plugin: Named, seconds: float) -> None:
        """A plugin has acted."""

    def plugin_failed(self, name: str, error: str) -> None:
        """One of a user's own raised, or answered nonsense."""


def unmeasured() -> float:
    """The clock of a chain that nobody measures."""
    return 0.0


class Chain:
    """Plugins in order, each measured by the clock, in seconds."""

    def __init__(self, plugins: Sequence[Named], counts: Counts, clock: Callable[[], float] = unmeasured) -> None:
        self._plugins = tuple(plugins)
        self._counts = counts
        self._clock = clock
        self.needs_whole_body = any(getattr(each.plugin, "needs_whole_body", False) for each in plugins)
        self.reads_model_only = all(getattr(each.plugin, "reads_model_only", False) for each in plugins)
        self.sets = tuple(dict.fromkeys(name for each in plugins for name in each.plugin.sets))

    def run(self, request: RoutedRequest) -> Run:
        """See the module's docstring."""
        headers: dict[str, str] = {}
        body = None
        for each in self._plugins:
            outcome = self._act(each, request)
            if isinstance(outcome, Ask):
                outcome = outcome.answered((yield outcome))
            for note in outcome.notes:
                self._counts.noted(note)
            if outcome.rejection is not None:
                return Result(rejection=outcome.rejection)
            headers.update(outcome.headers)
            if outcome.body is not None:
                body = outcome.body
                request = replace(request, body=body)  # later plugins see what goes on
        return Result(tuple(headers.items()), body=body)

    def _act(self, each: Named, request: RoutedRequest) -> Outcome | Ask:
        began = self._clock()
        try:
            outcome = each.plugin.act(request)
            self._counts.plugin_took(each, self._clock() - began)
            if isinstance(outcome, Outcome | Ask):
                return outcome
            error = f"answered {type(outcome).__name__}, expected an Outcome"
        except Exception as raised:  # noqa: BLE001 - a plugin of a user's own may raise anything
            error = f"{type(raised).__name__}: {raised}"
        self._counts.plugin_failed(each.name, error)
        return Outcome()
