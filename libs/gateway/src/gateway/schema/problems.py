"""Problems and their places. Pure values.

A place is a line of a file, a line of a text from the command line, or an object of a cluster: whatever a person can
go to and change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.schema.paths import join, parent

Mark = tuple[int, int]  # a line and a column, from 1
NO_MARKS: Final[Mapping[str, Mark]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """`source` is a file's path, `--config-text`, or an object of a cluster: `Pod ns/name`. Line 0: all of it."""

    source: str
    line: int = 0
    column: int = field(default=0, compare=False)

    @property
    def exact(self) -> str:
        """With the column, where it is known."""
        return f"{self}:{self.column}" if self.line and self.column else str(self)

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding. `subject` names the object that holds the field, where the place does not."""

    place: Place
    field: str
    message: str
    subject: str = ""

    @property
    def explanation(self) -> str:
        """The message with its subject."""
        return f"{self.message} ({self.subject})" if self.subject else self.message

    @property
    def exact(self) -> str:
        """As its text, with the column."""
        return self._at(self.place.exact)

    def __str__(self) -> str:
        return self._at(str(self.place))

    def _at(self, place: str) -> str:
        return f"{place}: {self.field}: {self.explanation}" if self.field else f"{place}: {self.explanation}"


class ProblemsError(Exception):
    """A document that cannot be used, with everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class Findings:
    """What reading found: problems refuse a document; notes say what was accepted without effect."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one document was written. `marks` maps paths to places and is empty for an object of a cluster."""

    source: str
    marks: Mapping[str, Mark] = field(default_factory=lambda: NO_MARKS)
    subject: str = ""
    prefix: str = ""  # where the document sits when it is an item of a list

    def place(self, path: str = "") -> Place:
        """The place of a field, or of the nearest field around it that was written."""
        full = join(self.prefix, path)
        while full and full not in self.marks:
            full = parent(full)
        return Place(self.source, *self.marks.get(full, (0, 0)))

    def problem(self, path: str, message: str) -> Problem:
        """A problem at a field."""
        return Problem(self.place(path), path, message, self.subject)
