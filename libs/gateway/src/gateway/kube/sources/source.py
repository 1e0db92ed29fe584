"""What a source of objects is: a stream of snapshots; one may take status back. Protocols and their values.

Folders of files are one source (`folders`), an API server is another (`cluster`).
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

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


class Wanted(NamedTuple):
    """Objects that are to be there, as they are applied, in that order. All that the same field manager made for one of
    the `owners` (uids) and that is not among them is to go."""

    objects: Sequence[Mapping[str, Any]] = ()
    owners: frozenset[str] = frozenset()


class Source(Protocol):
    """Yields snapshots of objects. It may never block the loop that iterates it."""

    def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        """A snapshot now, then one after every change of an object or of a name's addresses. Ends by cancellation."""


class StatusSource(Source, Protocol):
    """A source for whoever gives objects a status."""

    async def report(self, statuses: Statuses, /) -> None:
        """Take the status of objects back to where they are kept, as far as they are kept with one."""


class ObjectStore(StatusSource, Protocol):
    """A source for whoever runs something for the objects: it keeps further objects."""

    async def keep(self, wanted: Wanted, /) -> None:
        """These are to be there from now on, and to stay as they are."""

    async def shared_secret(
        self, namespace: str, name: str, make: Callable[[], Mapping[str, bytes]], /
    ) -> Mapping[str, bytes]:
        """The data of a Secret, which is made where there is none: of several that make it one counts for all."""
