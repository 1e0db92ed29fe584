"""Volatile lines leave the body that goes on, for engines that do not drop them (`gateway.wire.volatile_lines`). Pure.

A body that is compressed, or no JSON, goes on as it came.
"""

from dataclasses import dataclass

from gateway.routing.plugin import NOTHING, Outcome
from gateway.routing.request import RoutedRequest
from gateway.wire.volatile_lines import without_volatile_lines


@dataclass(frozen=True, slots=True)
class StripVolatileLines:
    """Takes out billing lines and those that begin with one of `lines`, where `models` names the request's model or
    its base model; without names, everywhere. A pool is known by its models here: no route is chosen yet.
    """

    lines: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()

    @property
    def sets(self) -> tuple[str, ...]:
        """None."""
        return ()

    def act(self, request: RoutedRequest) -> Outcome:
        """The body without them."""
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity") or not request.body.lstrip().startswith(b"{") or not self._judges(request):
            return NOTHING
        body = without_volatile_lines(request.body, self.lines)
        return NOTHING if body is request.body else Outcome(body=body)

    def _judges(self, request: RoutedRequest) -> bool:
        model = request.document.get("model")
        if not self.models:
            return True
        return isinstance(model, str) and not self.models.isdisjoint((model, request.base_models.get(model, model)))
