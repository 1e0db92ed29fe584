"""A call of the rate limit protocol as plain values. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Descriptor(NamedTuple):
    """One thing that a call is about; `hits` is None where none were given."""

    entries: Mapping[str, str]
    hits: int | None = None


class Decision(NamedTuple):
    """Whether a request is over a limit. `headers` go to the client either way, `body` to one that is refused. Envoy
    keeps the `subject` until the end of the request."""

    is_over_limit: bool
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    subject: str = ""


WITHIN_LIMITS = Decision(is_over_limit=False)
