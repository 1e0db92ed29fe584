"""The ext_proc door: wires `PickConversation` to the shared gRPC shell."""

from collections.abc import Callable, Mapping

from epp.exchange import Brain, PickConversation, pool_of
from gateway.clock import Clock
from gateway.extproc.codec import Codec
from gateway.extproc.exchange import PROTOCOL_MODES
from gateway.extproc.server import ExternalProcessor, Observer
from gateway.protocol import POOL_METADATA


def external_processor(
    brain: Brain, clock: Clock, observer: Observer, is_logged: Callable[[], bool]
) -> ExternalProcessor:
    """A servicer that asks `brain`; the route names its pool in the stream's initial metadata."""

    def conversation(metadata: Mapping[str, str]) -> PickConversation:
        return PickConversation(pool_of(metadata, POOL_METADATA), brain, PROTOCOL_MODES, is_logged)

    return ExternalProcessor(conversation, Codec(), clock, observer)
