"""How reading a body ends early: an exception that carries the refusal. It never leaves this package. Pure."""

from gateway.wire import refusals
from gateway.wire.errors import Rejection

# Where a value stands: the field at the top of the body, then indices and names. Written out only when it is wrong.
Place = tuple[str, *tuple[str | int, ...]]


class RefusedError(Exception):
    """The request cannot be served as it is."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


def invalid(message: str, param: str | None = None) -> RefusedError:
    """A field is wrong; `param` is its name at the top of the body."""
    return RefusedError(refusals.invalid(message, param))


def wrong_kind(place: Place, expected: str, value: object) -> RefusedError:
    """A field holds another kind of value."""
    return invalid(f"'{shown(place)}' must be {expected}, got {refusals.kind_of(value)}", place[0])


def too_deep(place: Place) -> RefusedError:
    """A field is nested deeper than any real prompt."""
    return invalid(f"'{shown(place)}' is nested too deeply", place[0])


def shown(place: Place) -> str:
    """A place as people write it: `messages[3].content[1]`."""
    return place[0] + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place[1:])
