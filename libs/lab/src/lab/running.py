"""Does a study's runs on all cores. A shell: processes, and a bar on the terminal.

A run depends on nothing but the study and its place in it, so that the number of processes changes the time alone.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TextIO

from epp.app.config_file import own_plugins
from gateway.service import clock
from lab.simulation.measures import Measures
from lab.study.study import Results, Run, Study

_BAR = 30  # characters
_studies: list[Study] = []
"""The study of a worker process: sent once, it may be large."""


def run(study: Study, jobs: int, stream: TextIO) -> Results:
    """All figures. A bar is shown on `stream` if it is a terminal."""
    runs = study.runs()
    progress = Progress(len(runs), stream)
    results: dict[Run, Measures] = {}
    for done, measures in _each(study, runs, min(jobs, len(runs))):
        results[done] = measures
        progress.advance(len(results), clock.monotonic())
    progress.end()
    return results


def _each(study: Study, runs: list[Run], jobs: int) -> Iterator[tuple[Run, Measures]]:
    if jobs == 1:
        plugins = own_plugins()
        yield from ((each, study.measures(each, plugins)) for each in runs)
        return
    with ProcessPoolExecutor(jobs, initializer=_studies.append, initargs=(study,)) as executor:
        futures = {executor.submit(_measures, each): each for each in runs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:  # also Ctrl-C, and a reader who stops: what has not begun is not begun
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _measures(run: Run) -> Measures:
    return _studies[0].measures(run, own_plugins())


class Progress:
    """A bar on one line, on a terminal alone."""

    def __init__(self, total: int, stream: TextIO = sys.stderr) -> None:
        self._total = total
        self._stream = stream
        self._is_shown = stream.isatty()
        self._began = clock.monotonic()

    def advance(self, done: int, now: float) -> None:
        """So many are done."""
        if not self._is_shown:
            return
        left = (now - self._began) / done * (self._total - done)
        filled = _BAR * done // self._total
        bar = "█" * filled + "·" * (_BAR - filled)
        self._stream.write(f"\r{bar} {done}/{self._total} runs, {left:.0f} s left \033[K")
        self._stream.flush()

    def end(self) -> None:
        """Take it away."""
        if self._is_shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
