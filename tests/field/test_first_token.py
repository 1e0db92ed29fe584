"""A streamed answer that does not begin in time moves on, although its head has come, on a real Envoy.

https://github.com/failoverbench/failoverbench (S07 of methodology 0.1)
"""

import asyncio
import time

import pytest

from gateway.wire import protocol
from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed

pytestmark = pytest.mark.envoy

STREAM = b'{"model": "open", "stream": true}'
MARKS = {protocol.ATTEMPT_TIMEOUT: "700", protocol.TTFT_LIMIT: protocol.TTFT_HELD}
LIMITED = ROUTE.replace(
    "metadata: {name: llm}",
    "metadata: {name: llm, annotations: {pointsman.dev/first-token-timeout: 700ms}}",
)


def order(bed: Bed, *, is_limited: bool) -> None:
    """The first server sends a head at once and its first token late; the picker marks the request, or does not."""
    bed.one.first, bed.two.first = 2.0, 0.1
    bed.pick(bed.one, bed.two)
    bed.orders.legs = MARKS if is_limited else {}


async def test_a_stream_that_begins_late_moves_on_and_one_without_a_limit_is_waited_for(make_bed: MakeBed) -> None:
    async with make_bed(route=LIMITED) as bed:
        order(bed, is_limited=True)
        moved = await bed.ask(body=STREAM)

        assert (moved.status, len(bed.one.requests), len(bed.two.requests)) == (200, 1, 1)
        assert moved.body.count(b'"server": "two", "index"') == 10, (
            "the whole answer of the second, nothing of the first"
        )
        assert moved.body.endswith(b"data: [DONE]\n\n")
        assert protocol.ATTEMPT_TIMEOUT not in bed.two.requests[0].headers
        assert bed.orders.held == 2

        order(bed, is_limited=False)
        waited = await bed.ask(body=STREAM)
        assert b'"server": "one"' in waited.body
        assert bed.orders.held == 2, "an answer without a mark passes the picker by"


async def test_an_answer_whose_picker_dies_while_its_head_is_held_goes_on(make_bed: MakeBed) -> None:
    async with make_bed(route=LIMITED) as bed:
        order(bed, is_limited=True)
        bed.orders.legs = {**MARKS, protocol.ATTEMPT_TIMEOUT: "20000"}
        answer = asyncio.create_task(bed.ask(body=STREAM))
        async with asyncio.timeout(10):
            while not bed.orders.held:
                await asyncio.sleep(0.01)
        await bed.picker.stop()
        found = await answer

        assert (found.status, found.body.endswith(b"data: [DONE]\n\n")) == (200, True)
        assert b'"server": "one"' in found.body


async def test_where_no_server_begins_in_time_the_client_gets_an_error_at_the_limit(make_bed: MakeBed) -> None:
    once = LIMITED.replace("    backendRefs:", "    retry: {attempts: 1}\n    backendRefs:")
    async with make_bed(route=once) as bed:
        order(bed, is_limited=True)
        bed.two.first = 2.0
        started = time.monotonic()
        answer = await bed.ask(body=STREAM)

        assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
        assert time.monotonic() - started < 10
