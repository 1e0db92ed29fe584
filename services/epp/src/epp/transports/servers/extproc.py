"""The ext_proc transport: the picker's conversation on the gRPC server of the shared library."""

from collections.abc import Mapping
from dataclasses import replace

from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.first_token import FirstToken
from epp.transports.extproc.streams import OpenStreams
from epp.transports.picker import RequestPicker
from epp.transports.route import route_of
from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Conversation, Push, ServerMetrics
from gateway.extproc.processor import ExternalProcessor
from gateway.service.clock import Clock
from gateway.wire.protocol import TTFT_LIMIT


def external_processor(
    picker: RequestPicker, streams: OpenStreams, clock: Clock, metrics: ServerMetrics, *, honours_subset: bool = True
) -> ExternalProcessor:
    """A servicer for `picker`; the route names its pool in the stream's initial metadata."""

    def conversation(metadata: Mapping[str, str], push: Push) -> Conversation:
        route = route_of(metadata)
        if route.pool is None and TTFT_LIMIT in metadata:
            return FirstToken(route.longest_wait)
        return PickConversation(
            route if honours_subset else replace(route, honours_subset=False), picker, streams, push
        )

    return ExternalProcessor(conversation, Codec(), clock, metrics)
