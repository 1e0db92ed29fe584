"""What a source of objects is: a stream of snapshots; one may take status back. Protocols and their values.

Folders of files are one source (`folders`), an API server is another (`cluster`).
"""

from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple, Protocol

from gateway.kube.objects import Manifests, ObjectKey
from gateway.schema.problems import Problem

Statuses = Mapping[ObjectKey, Mapping[str, object]]  # the `status` of each object, as its kind defines it


class Snapshot(NamedTuple):
    """The last good objects with the addresses of the host names in them.

    With `problems`, the source holds documents that were refused; their objects are as they were before, or missing
    where they never were good. `changed` are the objects added, changed or removed since the snapshot before.
    """

    manifests: Manifests
    addresses: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    changed: frozenset[ObjectKey] = frozenset()

    @property
    def is_usable(self) -> bool:
        """False where everything that was found is refused: whoever has something better keeps it."""
        return not self.problems or any(self.manifests.by_kind())


class Source(Protocol):
    """Yields snapshots of objects. It may never block the loop that iterates it."""

    def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        """A snapshot now, then one after every change of an object or of a name's addresses. Ends by cancellation."""


class StatusSource(Source, Protocol):
    """A source for whoever gives objects a status."""

    async def report(self, statuses: Statuses, /) -> None:
        """Take the status of objects back to where they are kept, as far as they are kept with one."""
