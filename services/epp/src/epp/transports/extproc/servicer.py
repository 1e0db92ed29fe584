"""The ext_proc door: wires `PickConversation` to the shared gRPC shell."""

from collections.abc import Mapping

from epp.transports.extproc.conversation import Brain, PickConversation, fallbacks_of, pool_of
from epp.transports.extproc.streams import OpenStreams
from gateway.extproc.codec import Codec
from gateway.extproc.exchange import PROTOCOL_MODES
from gateway.extproc.server import ExternalProcessor, Observer
from gateway.service.clock import Clock
from gateway.wire.protocol import FALLBACKS_METADATA, POOL_METADATA


def external_processor(brain: Brain, clock: Clock, observer: Observer, streams: OpenStreams) -> ExternalProcessor:
    """A servicer that asks `brain`; the route names its pool in the stream's initial metadata."""

    def conversation(metadata: Mapping[str, str]) -> PickConversation:
        pool, fallbacks = pool_of(metadata, POOL_METADATA), fallbacks_of(metadata.get(FALLBACKS_METADATA))
        return PickConversation(pool, brain, PROTOCOL_MODES, streams, fallbacks)

    return ExternalProcessor(conversation, Codec(), clock, observer)
