"""Both halves as Envoy's log tells of them: the lines added to it while they are compared. I/O, reads only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.kube.reading.documents import Document
from gateway.wire import protocol
from pointsman.compare.halves import pools_of, twin_of
from pointsman.compare.measures import Comparison, Half, Served, compared, served

READ_LIMIT: Final = 16 * 1024 * 1024  # bytes of one look: a second of some 20 000 requests


class Tail:
    """The lines of a file that others write, and sometimes begin anew: from the end that it has now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size
        self._rest = b""

    def lines(self) -> Iterator[str]:
        """Whole lines that were added since the last look."""
        with self._path.open("rb") as file:
            if self._path.stat().st_size < self._at:  # begun anew
                self._at, self._rest = 0, b""
            file.seek(self._at)
            found = file.read(READ_LIMIT)
        self._at += len(found)
        *whole, self._rest = (self._rest + found).split(b"\n")
        return (line.decode(errors="replace") for line in whole)


class Measuring:
    """Both halves of one route, by its lines in Envoy's log, from the first request on that went by round robin."""

    def __init__(self, tail: Tail, route: Document) -> None:
        self._tail = tail
        self._prefix = f"{route.meta.id}/"
        self._picker, self._round_robin = Half(), Half()
        self._halves: dict[str, Half] = {}  # by cluster
        self._since: str | None = None  # when Envoy has the split
        self.follow(route)

    def follow(self, route: Document) -> None:
        """Count the pools, too, that the route leads to now."""
        for pool in pools_of(route):
            self._halves[protocol.POOL_CLUSTER(*pool)] = self._picker
            self._halves[protocol.POOL_CLUSTER(*twin_of(pool))] = self._round_robin

    def look(self) -> Comparison:
        """The figures up to now."""
        for line in self._tail.lines():
            found = served(line)
            if found is not None and found.route.startswith(self._prefix):
                self._add(found)
        return compared(self._round_robin, self._picker)

    def _add(self, found: Served) -> None:
        half = self._halves.get(found.cluster)
        if half is self._round_robin:
            self._since = self._since or found.started
            half.add(found)
        elif half is not None and self._since is not None and found.started >= self._since:
            half.add(found)
