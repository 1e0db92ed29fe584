"""One request at the moment in which it is placed: what columns are computed from. Pure."""

from typing import Any, NamedTuple

from epp.prompts.request import InferenceRequest


class Placing(NamedTuple):
    """`computed` holds what producers compute once for the request, each under its own name."""

    request: InferenceRequest
    blocks: tuple[int, ...]
    session: str | None
    now: float
    computed: dict[str, Any]
