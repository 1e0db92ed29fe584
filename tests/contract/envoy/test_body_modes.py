"""How a picker over ext_proc gets the body of a request: streamed, or in full duplex as the protocol has it."""

import asyncio
from collections.abc import Sequence

import pytest

from controlplane.options import Options, PickerBody, PickerTransport
from gateway.extproc.codec import Codec
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.messages import (
    BodyReceived,
    BodyReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    Mutation,
    Reply,
)
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, serving
from gateway.service import clock
from gateway.wire import errors, protocol
from tests.conftest import free_ports
from tests.contract.envoy.conftest import Bed, MakeBed, raw
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

SIZES = (4_000, 220_000, 8_000_000)
SECONDS = 60  # health checks find a hung picker within some six
DUPLEX = Options(picker_body=PickerBody.FULL_DUPLEX)
HEALTHY = "cluster.epp-duplex_default_epp_9002.membership_healthy"
BY_PATH = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: path}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /open}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
"""
TRAILED = (
    b"POST /open HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
    b"connection: close\r\n\r\n2\r\n{}\r\n0\r\nx-checksum: 1\r\n\r\n"
)


@pytest.mark.parametrize("body", [PickerBody.STREAMED, PickerBody.FULL_DUPLEX])
async def test_requests_of_every_kind_go_where_the_picker_says(make_bed: MakeBed, body: PickerBody) -> None:
    async with make_bed(Options(picker_body=body), path=BY_PATH) as bed:
        bed.pick(bed.dead, bed.two)
        for path in ("/v1/chat/completions", "/open"):
            for size in SIZES:
                answer = await bed.ask(path=path, size=size)
                assert (answer.status, answer.server) == (200, "two"), (path, size)
                assert int(str(answer.json["size"])) > size
        assert (await bed.ask(path="/open", method="GET")).server == "two"
        assert (await bed.ask(path="/open", body=b"")).server == "two"
        stream = await bed.ask(body=b'{"model": "open", "stream": true}')
        assert (stream.body.count(b'"server": "two"'), stream.body[-8:]) == (11, b"[DONE]\n\n")
        status, trailed = await raw(bed, TRAILED)
        assert (status, b'"server": "two"' in trailed) == (200, True)
        assert set(bed.orders.served) == {f"{HOST}:{bed.two.port}"}


async def passes(bed: Bed) -> None:
    """As without a picker, whatever the size: from the moment in which it is known to be gone."""
    async with asyncio.timeout(SECONDS):
        while (await bed.ask("open")).status != 200:
            await asyncio.sleep(0.1)
    for size in SIZES:
        assert (await bed.ask("open", size=size)).status == 200
        closed = await bed.ask("closed", size=size)
        assert (closed.status, closed.error["code"]) == (503, errors.ErrorCode.PICKER_UNAVAILABLE)


async def test_in_full_duplex_a_dead_picker_opens_or_closes_its_pool_and_cuts_no_answer(make_bed: MakeBed) -> None:
    async with make_bed(DUPLEX) as bed:
        bed.pick(bed.one)
        bed.one.goes_on.clear()
        streamed = asyncio.create_task(bed.ask("closed", body=b'{"model": "closed", "stream": true}'))
        async with asyncio.timeout(SECONDS):
            while not bed.one.requests:
                await asyncio.sleep(0.01)
        await bed.picker.stop()

        await passes(bed)
        bed.one.goes_on.set()
        assert (await streamed).body.endswith(b"data: [DONE]\n\n")


async def test_in_full_duplex_a_hung_picker_costs_what_it_was_asked_and_nothing_later(make_bed: MakeBed) -> None:
    async with make_bed(DUPLEX) as bed:
        bed.orders.hangs = True
        waiting = asyncio.create_task(bed.ask("open"))
        async with asyncio.timeout(SECONDS):
            while not bed.orders.pools:
                await asyncio.sleep(0.01)
        bed.orders.is_well = False
        async with asyncio.timeout(SECONDS):
            while (await bed.gateway.stats(f"^{HEALTHY}$"))[HEALTHY]:
                await asyncio.sleep(0.05)

        await passes(bed)
        await bed.picker.stop()
        assert (await waiting).status == 503


class Deferring:
    """The picker of the conformance suite: it answers nothing until it has the body, and then body messages without
    one."""

    is_finished = False
    is_at_rest = True
    is_collecting = False

    def __init__(self, endpoint: str) -> None:
        metadata = {protocol.LB_NAMESPACE: {protocol.DESTINATION_ENDPOINT: endpoint}}
        headers = ((protocol.DESTINATION_ENDPOINT, endpoint),)
        self._pick = HeadersReply(Direction.REQUEST, Mutation(headers, metadata=metadata, clear_route_cache=True))

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        match event:
            case HeadersReceived(direction=Direction.REQUEST, end_of_stream=is_whole):
                return [self._pick] if is_whole else []
            case BodyReceived(direction=Direction.REQUEST, end_of_stream=True):
                return [self._pick, BodyReply(Direction.REQUEST)]
            case BodyReceived(direction=Direction.REQUEST):
                return [BodyReply(Direction.REQUEST)]
            case HeadersReceived():
                return [HeadersReply(Direction.RESPONSE)]
        return []

    def close(self, now: float, *, is_cut: bool = False) -> None: ...


class _Silent:
    def violation(self, reason: str) -> None: ...


async def test_streamed_a_picker_that_answers_headers_last_and_bodies_without_one_is_followed(
    make_bed: MakeBed,
) -> None:
    (port,) = free_ports(1)
    notes = "pointsman.dev/picker-body: streamed"
    pools = pool("open", picker="other", notes=notes) + pool("closed", "FailClose", picker="other", notes=notes)
    extra = slice_of("other", port, {"kubernetes.io/service-name": "other"})
    target = ""
    processor = ExternalProcessor(lambda _metadata, _push: Deferring(target), Codec(), clock.monotonic, _Silent())
    async with (
        serving([processor, Health(lambda: True)], f"{HOST}:{port}", Serving()),
        make_bed(pools=pools, other=extra, path=BY_PATH) as bed,
    ):
        target = f"{HOST}:{bed.two.port}"
        for model in ("open", "closed"):
            for size in SIZES:
                assert (await bed.ask(model, size=size)).server == "two"
        assert (await bed.ask(path="/open", method="GET")).server == "two"
