"""Where Redis is, and its password: values, which load no client. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Password = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is. `kind` is `single`, `sentinel` or `cluster`; `options` are redis-py's."""

    kind: str
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def takes_several_keys(self) -> bool:
        """Whether one script or transaction may use several keys; in a Cluster each may be on another node."""
        return self.kind != "cluster"
