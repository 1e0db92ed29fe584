"""A screen of its own on a terminal, shown anew again and again, and given back at the end. I/O.

A library for terminal tables would bring three packages for what six escape sequences do.
"""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # another screen, without a cursor
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"


class LiveScreen:
    """From its entry to its exit, however the body ends."""

    def __enter__(self) -> Self:
        _write(_ENTER)
        return self

    def show(self, lines: Sequence[str]) -> None:
        """These lines in place of those before."""
        _write(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _REST_OF_SCREEN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _write(_LEAVE)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
