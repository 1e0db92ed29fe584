"""The router of a process: plugins, embedder and metrics, and a conversation for each request."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.extproc.conversation import Push
from gateway.extproc.protocol.messages import Modes
from gateway.router.conversation import Keep, RouterConversation, Routing
from gateway.router.embedding import Embedder, Endpoint
from gateway.router.metrics import Metrics
from gateway.routing.catalogue import default_plugins
from gateway.routing.chain import Chain
from gateway.routing.classes import Classes
from gateway.routing.plugin import Named


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator chose."""

    plugins: tuple[Named, ...] = field(default_factory=default_plugins)
    embedder: Endpoint | None = None


class Router:
    """Construct one per process. `base_models` gives the present names; `keep` keeps bodies for a later question."""

    def __init__(
        self,
        choice: Choice,
        metrics: Metrics,
        base_models: Callable[[], Mapping[str, str]],
        keep: Keep | None = None,
    ) -> None:
        self.metrics = metrics
        self._base_models = base_models
        self._keep = keep
        self._chain = Chain(choice.plugins, metrics)
        self._embedder = None
        if choice.embedder is not None:
            self._embedder = Embedder(choice.embedder, compared_texts(choice.plugins), metrics)

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs beside the conversations."""
        return [] if self._embedder is None else [self._embedder.run()]

    def conversation(self, modes: Modes, push: Push) -> RouterConversation:
        """For one request; `modes` of a proxy that does not describe itself."""
        return RouterConversation(self._routing(), self.metrics.observe, modes, push)

    def _routing(self) -> Routing:
        if self._embedder is None:
            return Routing(self._chain, self._base_models(), keep=self._keep)
        return Routing(self._chain, self._base_models(), self._embedder.vectors, self._embedder.ask, self._keep)


def compared_texts(plugins: Sequence[Named]) -> list[str]:
    """The examples of all classes."""
    return [text for each in plugins if isinstance(each.plugin, Classes) for _, text in each.plugin.examples.texts]
