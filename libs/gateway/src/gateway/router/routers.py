"""The router of a process: plugins, embedder and metrics, and a conversation for each request."""

import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.extproc.conversation import Conversation, Push
from gateway.extproc.protocol.messages import Modes
from gateway.router.conversation import Keep, RouterConversation, Routing
from gateway.router.embedding import Embedder, Endpoint
from gateway.router.key_files import KeyFile
from gateway.router.metrics import Metrics
from gateway.routing.catalogue import default_plugins
from gateway.routing.chain import Chain
from gateway.routing.classes import Classes
from gateway.routing.plugin import Named
from gateway.service import clock
from gateway.tenancy.identity import Access
from gateway.tenancy.salting import Salter
from gateway.tenancy.tenants import Tenants

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from gateway.router.tracing import ConversationTracer

SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator chose."""

    plugins: tuple[Named, ...] = field(default_factory=default_plugins)
    embedder: Endpoint | None = None
    keys_file: Path | None = None
    salt_secret: bytes = field(default=b"", repr=False)
    """With which salts are made; empty: a random one, so that no other replica finds the same."""


@dataclass(frozen=True, slots=True)
class Known:
    """What objects say at this moment: the base models of names, and the tenants; None where they were not read yet."""

    base_models: Callable[[], Mapping[str, str]]
    tenants: Callable[[], Tenants | None] = Tenants


class Router:
    """Construct one per process. `keep` keeps bodies for a later question. Raises KeyFileError."""

    def __init__(
        self,
        choice: Choice,
        metrics: Metrics,
        known: Known,
        keep: Keep | None = None,
        tracer: "ConversationTracer | None" = None,
    ) -> None:
        self.metrics = metrics
        self._tracer = tracer
        self._known = known
        self._keep = keep
        self._key_file = KeyFile(choice.keys_file) if choice.keys_file is not None else None
        self._salter = Salter(choice.salt_secret or secrets.token_bytes(SECRET_BYTES))
        self._chain = Chain(choice.plugins, metrics, clock.monotonic)
        self._embedder = None
        if choice.embedder is not None:
            self._embedder = Embedder(choice.embedder, compared_texts(choice.plugins), metrics)

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs beside the conversations."""
        return [each.run() for each in (self._embedder, self._key_file) if each is not None]

    def conversation(self, modes: Modes, push: Push) -> Conversation:
        """For one request; `modes` of a proxy that does not describe itself."""
        opened = partial(RouterConversation, self._routing(), self.metrics.observe, modes)
        return opened(push) if self._tracer is None else self._tracer.traced(opened, push)

    def _routing(self) -> Routing:
        found = Routing(self._chain, self._known.base_models(), keep=self._keep, access=self._access())
        if self._embedder is None:
            return found
        return replace(found, vectors=self._embedder.vectors, embed=self._embedder.embed)

    def _access(self) -> Access:
        keys = self._key_file.keys if self._key_file is not None else None
        return Access(keys, self._known.tenants(), self._salter)


def conversation_tracer(provider: "TracerProvider | None") -> "ConversationTracer | None":
    """What traces a router's conversations; without `--tracing` nothing stands between them and the transport."""
    if provider is None:
        return None
    from gateway.router.tracing import ConversationTracer

    return ConversationTracer(provider)


def compared_texts(plugins: Sequence[Named]) -> list[str]:
    """The examples of all classes."""
    return [text for each in plugins if isinstance(each.plugin, Classes) for _, text in each.plugin.examples.texts]
