"""The ext_proc transport: the picker's conversation on the gRPC server of the shared library, alone or beside the
body-based router's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.first_token import FirstToken
from epp.transports.extproc.fused import FusedConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.picker import RequestPicker
from epp.transports.route import route_of
from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Conversation, Push, ServerMetrics
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.messages import BodyMode, Modes
from gateway.router.kept import KeptBodies
from gateway.router.routers import Router
from gateway.service.clock import Clock
from gateway.wire.protocol import POOL_METADATA, TTFT_LIMIT

BUFFERED: Final = Modes(BodyMode.BUFFERED, BodyMode.NONE)


@dataclass(frozen=True, slots=True)
class Picks:
    """Opens the picker's conversations."""

    picker: RequestPicker
    streams: OpenStreams
    clock: Clock
    honours_subset: bool = True
    reports_served: bool = False

    def opened(self, metadata: Mapping[str, str], picker: RequestPicker, push: Push) -> PickConversation:
        """For one request; the route names its pool in the stream's initial metadata."""
        route = route_of(metadata)
        if self.reports_served or not self.honours_subset:
            route = replace(route, honours_subset=self.honours_subset, reports_served=self.reports_served)
        return PickConversation(route, picker, self.streams, push)


def first_token(metadata: Mapping[str, str]) -> FirstToken | None:
    """The conversation about the beginning of an answer, which names a limit and no pool."""
    route = route_of(metadata)
    return FirstToken(route.longest_wait) if route.pool is None and TTFT_LIMIT in metadata else None


def external_processor(picks: Picks, metrics: ServerMetrics) -> ExternalProcessor:
    """The picker alone."""

    def conversation(metadata: Mapping[str, str], push: Push) -> Conversation:
        return first_token(metadata) or picks.opened(metadata, picks.picker, push)

    return ExternalProcessor(conversation, Codec(), picks.clock, metrics)


def fused_processor(picks: Picks, router: Router, kept: KeptBodies, metrics: ServerMetrics) -> ExternalProcessor:
    """The picker and the router. A question for an endpoint names its pool, one for headers does not."""

    def conversation(metadata: Mapping[str, str], push: Push) -> Conversation:
        waits = first_token(metadata)
        if waits is not None:
            return waits
        if POOL_METADATA not in metadata:
            return router.conversation(BUFFERED, push)

        def open_pick(picker: RequestPicker, push: Push) -> PickConversation:
            return picks.opened(metadata, picker, push)

        return FusedConversation(open_pick, picks.picker, kept, push)

    return ExternalProcessor(conversation, Codec(), picks.clock, metrics)
