"""A dead, starting or breaking server, a dead or hanging picker, a missing pool: who serves instead, or which error."""

import asyncio

import pytest

from controlplane.options import Options, PickerTransport
from gateway.wire import errors
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import pool

pytestmark = [pytest.mark.envoy, pytest.mark.grpcio]


async def test_a_dead_first_pick_goes_to_the_second(bed: Bed) -> None:
    bed.pick(bed.dead, bed.two)

    for model in ("open", "closed"):
        assert (await bed.ask(model)).server == "two"


async def test_a_starting_first_pick_goes_to_the_second(bed: Bed) -> None:
    bed.one.status = 503
    bed.pick(bed.one, bed.two)

    assert (await bed.ask()).server == "two"


async def test_an_exhausted_list_falls_back_or_fails_by_failure_mode(bed: Bed) -> None:
    bed.pick(bed.dead)

    assert (await bed.ask("open")).status == 200
    closed = await bed.ask("closed")

    assert (closed.status, closed.error["code"]) == (503, errors.ErrorCode.UPSTREAM_UNAVAILABLE)


async def test_a_dead_picker_opens_or_closes_its_pool(bed: Bed) -> None:
    await bed.picker.stop()

    for _ in range(3):
        assert (await bed.ask("open", size=200_000)).status == 200
        closed = await bed.ask("closed")
        assert (closed.status, closed.error["code"]) == (503, errors.ErrorCode.PICKER_UNAVAILABLE)


async def test_a_hanging_picker_opens_or_closes_its_pool(make_bed: MakeBed) -> None:
    async with make_bed(Options(picker_timeout=0.3)) as bed:
        bed.orders.hangs = True

        assert (await bed.ask("open")).status == 200
        assert (await bed.ask("closed")).error["code"] == errors.ErrorCode.PICKER_UNAVAILABLE


async def test_a_dying_picker_cuts_no_answer_in_flight(bed: Bed) -> None:
    bed.pick(bed.one)
    bed.one.goes_on.clear()
    body = b'{"model": "closed", "stream": true}'
    async with bed.gateway.session.post(
        f"{bed.gateway.url}/v1/completions", data=body, headers={"content-type": "application/json"}
    ) as answer:
        first = await answer.content.readuntil(b"\n\n")
        await bed.picker.stop()
        bed.one.goes_on.set()
        rest = await answer.content.read()

    assert b'"index": 0' in first
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_route_to_a_pool_that_does_not_exist_is_500(make_bed: MakeBed) -> None:
    async with make_bed(pools="") as bed:
        answer = await bed.ask("open")

    assert (answer.status, answer.error["code"]) == (500, "internal_error")


async def test_an_empty_pool_is_503_with_and_without_a_picker(make_bed: MakeBed) -> None:
    empty = pool("open").replace("app: open", "app: nobody")
    async with make_bed(pools=empty + pool("closed", "FailClose")) as bed:
        with_picker = await bed.ask("open")
        await bed.picker.stop()
        without = await bed.ask("open")

    for answer in (with_picker, without):
        assert (answer.status, answer.error["code"]) == (503, "no_ready_endpoint")
        assert answer.headers["retry-after"] == "5"


async def test_a_connection_that_breaks_is_said_so(bed: Bed) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(cut, HOST, bed.dead)
    async with server:
        bed.pick(bed.dead)
        answer = await bed.ask("closed")

    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")


async def test_a_rule_with_a_timeout_ends_in_504(make_bed: MakeBed) -> None:
    timed = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: timed}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /timed}}]
    timeouts: {request: 300ms}
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: closed}]
"""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with make_bed(timed=timed) as bed:
        server = await asyncio.start_server(silent, HOST, bed.dead)
        async with server:
            bed.pick(bed.dead)
            answer = await bed.ask(path="/timed")

    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
async def test_as_many_requests_are_retried_as_a_server_had(bed: Bed) -> None:
    """A retry is held until its answer ends: more of them at once than any small constant."""
    bed.one.gap = 0.3
    bed.pick(bed.dead, bed.one)
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(bed.ask(body=b'{"model": "open", "stream": true}')) for _ in range(100)]

    assert {task.result().status for task in sent} == {200}
