"""Producers of the user's own: one that raises costs no request its endpoint, and is reported by its name. Pure."""

from collections.abc import Callable, Mapping, Sequence

from epp.datalayer.producer import Column, Handlers, Producer
from epp.domain import PoolId
from epp.scheduling.containing import in_words

Failed = Callable[[str, str], None]  # a plugin's name, and what it raised
Makers = Sequence[tuple[str, Callable[[PoolId], Producer]]]


def own_producers(makers: Makers, pool: PoolId, failed: Failed) -> list[Producer]:
    """One of each for a pool; one that cannot be made is left out."""
    found: list[Producer] = []
    for name, make in makers:
        try:
            found.append(_Contained(name, make(pool), failed))
        except Exception as error:  # noqa: BLE001 - nothing is known of what somebody's plugin raises
            failed(name, in_words(error))
    return found


class _Contained:
    """A producer whose handlers do not raise. Its columns are read by plugins, whose failures are contained anyway."""

    def __init__(self, name: str, producer: Producer, failed: Failed) -> None:
        self._name = name
        self._failed = failed
        self._handles = producer.handles()
        self._columns = producer.columns()

    def handles(self) -> Handlers:
        """The same events."""
        return {type_: self._contained(handler) for type_, handler in self._handles.items()}

    def columns(self) -> Mapping[str, Column]:
        """The same columns."""
        return self._columns

    def _contained(self, handler: Callable[..., None]) -> Callable[..., None]:
        def handle(event: object, now: float) -> None:
            try:
                handler(event, now)
            except Exception as error:  # noqa: BLE001 - nothing is known of what somebody's plugin raises
                self._failed(self._name, in_words(error))

        return handle
