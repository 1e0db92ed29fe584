"""The prefix caches as metrics: what was expected of them, what engines had, and where prompts part. A shell."""

from collections.abc import Callable, Mapping
from typing import Protocol

from epp.domain import PoolId
from gateway.service.metrics import counters

TOKENS = "pointsman_epp_prefix_tokens_total"
PARTED = "pointsman_epp_prefix_parted_bytes_total"


class PoolCaching(Protocol):
    """One pool's counts since the start: tokens, and bytes by field."""

    @property
    def prompt(self) -> float:
        """Prompt tokens of answers whose engine counts cached ones."""

    @property
    def expected(self) -> float:
        """Those of them that were expected in the cache."""

    @property
    def cached(self) -> float:
        """Those that were."""

    @property
    def fields(self) -> Mapping[str, int]:
        """Bytes behind the place where prompts part."""


class CacheMetrics:
    """Counters by pool, read when somebody asks for metrics. Fields are bounded where they are counted."""

    def __init__(self, totals: Callable[[], Mapping[PoolId, PoolCaching]]) -> None:
        self._totals = totals

    def render(self) -> str:
        """Both counters."""
        pools = sorted(self._totals().items())
        kinds = [
            ((id_, kind), tokens)
            for id_, pool in pools
            for kind, tokens in (("prompt", pool.prompt), ("expected", pool.expected), ("cached", pool.cached))
        ]
        fields = [((id_, field), float(count)) for id_, pool in pools for field, count in pool.fields.items()]
        return counters(
            TOKENS, "Prompt tokens of answers: all, expected cached, and cached.", ("pool", "kind"), kinds
        ) + counters(PARTED, "Bytes behind the field at which prompts left what is cached.", ("pool", "field"), fields)
