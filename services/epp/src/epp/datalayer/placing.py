"""One request at the moment in which it is placed: what columns are computed from. Pure."""

from dataclasses import dataclass, field
from typing import Any

from epp.prompts.request import InferenceRequest


@dataclass(frozen=True, slots=True)
class Placing:
    """`computed` holds what producers compute once for the request, each under its own name."""

    request: InferenceRequest
    blocks: tuple[int, ...]
    session: str | None
    now: float
    computed: dict[str, Any] = field(default_factory=dict)
