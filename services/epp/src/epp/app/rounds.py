"""What is done again and again while the picker serves. Shells: each runs until cancelled."""

import asyncio
from typing import Final

from epp.datalayer.producers.other_run import HEARTBEAT_SECONDS
from epp.picking.picker import Picker
from epp.telemetry.metrics import Metrics
from epp.transports.extproc.streams import OpenStreams
from gateway.service.clock import Clock

PASS_SECONDS: Final = 1.0
RENEW_LABELS_SECONDS: Final = 60.0


async def pass_time(picker: Picker, streams: OpenStreams, now: Clock) -> None:
    """Let time pass for what has no clock."""
    while True:
        await asyncio.sleep(PASS_SECONDS)
        streams.report(now())
        picker.pass_time(now(), streams.picks)


async def beat(picker: Picker, now: Clock) -> None:
    """Tell the other replicas that this one lives."""
    while True:
        picker.beat(now())
        await asyncio.sleep(HEARTBEAT_SECONDS)


async def name_labels(picker: Picker, metrics: Metrics) -> None:
    """Let metrics know which names exist, and make room for others among those that do not."""
    while True:
        for _ in range(int(RENEW_LABELS_SECONDS / PASS_SECONDS)):
            metrics.exist(*picker.pools.names())
            await asyncio.sleep(PASS_SECONDS)
        metrics.renew_labels()
