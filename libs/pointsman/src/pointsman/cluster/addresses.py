"""Loopback addresses of their own for servers that would have one in a cluster. Pure: `is_free` looks."""

from collections.abc import Callable, Sequence
from typing import Final

IsFree = Callable[[str, int], bool]

_BLOCKS: Final = range(1, 255)  # 127.0.0.x is what other programs use
_OF_A_BLOCK: Final = 250


class NoAddressError(Exception):
    """No block of loopback addresses has these ports free."""


class Addresses:
    """Gives 127.0.x.y away, a block for each workload: the same ones at each start, unless another run has them."""

    def __init__(self, is_free: IsFree) -> None:
        self._is_free = is_free
        self._blocks = iter(_BLOCKS)

    def take(self, count: int, ports: Sequence[int]) -> tuple[str, ...]:
        """So many addresses on which these ports are free."""
        found: list[str] = []
        while len(found) < count:
            found += self._block(min(count - len(found), _OF_A_BLOCK), ports)
        return tuple(found)

    def _block(self, count: int, ports: Sequence[int]) -> list[str]:
        for block in self._blocks:
            hosts = [f"127.0.{block}.{number + 1}" for number in range(count)]
            if all(self._is_free(host, port) for host in hosts for port in ports):
                return hosts
        raise NoAddressError(f"no addresses 127.0.x.y are free at port {', '.join(map(str, ports))}")
