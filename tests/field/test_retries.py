"""When a request moves on to another endpoint, and when it does not, on a real Envoy through either door.

The faults of https://github.com/failoverbench/failoverbench (methodology 0.1), one by one; `make faults` scores them.
https://github.com/Portkey-AI/gateway/issues/855 https://github.com/BerriAI/litellm/issues/27967
"""

import asyncio
import time

import aiohttp
import pytest

from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed
from tests.contract.envoy.fakes import ModelServer
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = pytest.mark.envoy

POOLS = ("open", "closed")
STREAM = b'{"model": "open", "stream": true}'


def new_requests(bed: Bed) -> tuple[int, int]:
    """How many requests either server got since the last call."""
    found = len(bed.one.requests), len(bed.two.requests)
    bed.one.requests.clear()
    bed.two.requests.clear()
    return found


def ruled(settings: str) -> str:
    """The route of the tests with these settings in both of its rules."""
    return ROUTE.replace("    backendRefs:", f"    {settings}\n    backendRefs:")


async def test_an_overloaded_or_broken_server_is_followed_by_the_next(bed: Bed) -> None:
    bed.pick(bed.one, bed.two)
    for model in POOLS:
        for status in (429, 502, 503, 504, 500):
            bed.one.status = status
            bed.one.headers = {"retry-after": "30"}
            answer = await bed.ask(model)

            assert (answer.status, answer.server, new_requests(bed)) == (200, "two", (1, 1)), status
            assert not any(name.startswith("x-pointsman") for name in answer.headers)


async def test_a_connection_that_breaks_before_the_answer_is_followed_by_the_next(bed: Bed) -> None:
    bed.one.fault = "reset"
    bed.pick(bed.one, bed.two)
    for model in POOLS:
        for body in (None, STREAM.replace(b"open", model.encode())):
            assert (await bed.ask(model, body=body)).status == 200
            assert new_requests(bed) == (1, 1)


async def test_an_answer_that_has_begun_is_never_repeated(bed: Bed) -> None:
    bed.one.fault = "cut"
    bed.one.goes_on.clear()
    bed.pick(bed.one, bed.two)
    sent = {"content-type": "application/json"}
    async with bed.gateway.session.post(f"{bed.gateway.url}/v1/completions", data=STREAM, headers=sent) as answer:
        assert b'"index": 0' in await answer.content.readuntil(b"\n\n")
        bed.one.goes_on.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()

    assert answer.status == 200
    assert new_requests(bed) == (1, 0)


async def test_a_client_error_is_the_answer(bed: Bed) -> None:
    bed.pick(bed.one, bed.two)
    for status in (400, 401, 404, 408, 413, 422, 501):
        bed.one.status = status

        assert ((await bed.ask()).status, new_requests(bed)) == (status, (1, 0))


async def test_an_error_500_is_tried_on_one_other_server_only(make_bed: MakeBed) -> None:
    async with ModelServer("three", status=500).serving() as three, make_bed() as bed:
        await bed.gateway.apply(three=slice_of("three", three.port, {"app": "open"}))
        bed.one.status = bed.two.status = 500
        bed.pick(bed.one, bed.two, three)
        answer = await bed.ask()

        assert (answer.status, answer.server) == (500, "two")
        assert (new_requests(bed), len(three.requests)) == ((1, 1), 0)


async def test_an_error_of_every_server_is_the_last_ones_own(bed: Bed) -> None:
    bed.pick(bed.one, bed.two)
    for server in (bed.one, bed.two):
        server.status, server.headers = 503, {"retry-after": "7"}
    for model in POOLS:
        bed.pick(bed.one, bed.two, bed.one)
        answer = await bed.ask(model)

        assert (answer.status, answer.json["server"] in ("one", "two"), answer.headers["retry-after"]) == (
            503,
            True,
            "7",
        )


async def test_a_refusal_is_lost_where_the_next_server_gives_no_answer(bed: Bed) -> None:
    bed.one.status, bed.one.headers = 503, {"retry-after": "7"}
    for model in POOLS:
        bed.pick(bed.one, bed.dead)
        bed.orders.legs = {"x-gateway-retries": "1"}
        answer = await bed.ask(model)

        assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")


async def test_a_pool_of_one_endpoint_asks_it_once_and_its_answer_counts(make_bed: MakeBed) -> None:
    lonely = pool("lone-open") + pool("lone-closed", "FailClose")
    async with ModelServer("alone", status=503, headers={"retry-after": "7"}).serving() as server:
        slices = "".join(slice_of(f"lone-{name}", server.port, {"app": f"lone-{name}"}) for name in POOLS)
        route = ROUTE.replace("name: open}]\n  -", "name: lone-open}]\n  -").replace(
            "name: closed}]\n", "name: lone-closed}]\n"
        )
        async with make_bed(route=route, lonely=lonely + slices) as bed:
            for model in POOLS:
                bed.pick(server.port)
                answer = await bed.ask(model)

                assert (answer.status, answer.server) == (503, "alone")
                assert answer.headers["retry-after"] == "7"
            bed.orders.endpoints = None
            assert (await bed.ask("open")).server == "alone", "balanced by Envoy, without a pick"
            server.fault = "reset"
            bed.pick(server.port)
            bed.orders.legs = {"x-gateway-retries": "0"}  # as the picker says of a list of one
            assert (await bed.ask("open")).error["code"] == "upstream_unavailable"
            assert len(server.requests) == 4


async def test_a_list_is_all_that_a_closed_pool_has(bed: Bed) -> None:
    for server in (bed.one, bed.two):
        server.status, server.headers = 503, {"retry-after": "7"}
    bed.pick(bed.one)
    answer = await bed.ask("closed")
    assert (answer.status, answer.server, new_requests(bed)) == (503, "one", (1, 0))

    bed.pick(bed.one, bed.two)
    answer = await bed.ask("closed")
    assert (answer.status, answer.server, new_requests(bed)) == (503, "two", (1, 1))


async def test_a_rule_says_which_codes_move_on_and_how_often(make_bed: MakeBed) -> None:
    async with make_bed(route=ruled("retry: {codes: [418, 500], attempts: 1}")) as bed:
        for status, expected in ((418, 200), (500, 200), (503, 503), (429, 429)):
            bed.one.status = status
            bed.pick(bed.one, bed.two)
            assert (await bed.ask()).status == expected
        new_requests(bed)
        bed.one.status, bed.two.status = 500, 500
        assert (await bed.ask()).status == 500
        assert new_requests(bed) == (1, 1)
        assert bed.orders.headers
        bed.one.status = 200
        bed.pick(bed.dead, bed.one)
        assert (await bed.ask()).status == 200, "a refused connection moves on whatever the codes"


async def test_a_rule_without_attempts_never_moves_on(make_bed: MakeBed) -> None:
    async with make_bed(route=ruled("retry: {attempts: 0}")) as bed:
        bed.one.status = 503
        bed.pick(bed.one, bed.two)
        assert ((await bed.ask()).status, new_requests(bed)) == (503, (1, 0))
        bed.pick(bed.dead, bed.two)
        assert ((await bed.ask()).status, new_requests(bed)) == (503, (0, 0))


async def test_a_servers_retry_after_counts_where_it_is_shorter_than_the_backoff(make_bed: MakeBed) -> None:
    async with make_bed(route=ruled("retry: {attempts: 1, backoff: 20s}")) as bed:
        bed.one.status, bed.one.headers = 429, {"retry-after": "1"}
        bed.pick(bed.one, bed.two)
        started = time.monotonic()

        assert (await bed.ask()).status == 200
        assert 1 <= time.monotonic() - started < 15


async def test_a_server_without_headers_in_time_is_followed_by_the_next(make_bed: MakeBed) -> None:
    async with make_bed(route=ruled("timeouts: {backendRequest: 300ms}")) as bed:
        bed.one.fault = "silent"
        bed.two.gap = 0.1  # ten of them: the answer takes longer than the limit of its beginning
        bed.pick(bed.one, bed.two)
        answer = await bed.ask(body=STREAM)

        assert (answer.status, new_requests(bed)) == (200, (1, 1))
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_what_one_server_has_stored_is_asked_of_it_alone(make_bed: MakeBed) -> None:
    by_path = ROUTE.replace("{value: /v1}, headers: [{name: X-Gateway-Model-Name, value: open}]", "{value: /v1}")
    async with make_bed(route=by_path) as bed:
        bed.pick(bed.one, bed.two)
        for path in (
            "/v1/responses/resp_1",
            "/v1/responses/resp_1/cancel",
            "/v1/files",
            "/v1/conversations/c/items?x=1",
        ):
            for bed.one.status, bed.one.fault in ((503, ""), (200, "reset")):
                assert (await bed.ask(path=path)).status == 503
                assert new_requests(bed) == (1, 0), path
        bed.one.status, bed.one.fault = 503, ""
        assert (await bed.ask(path="/v1/responses")).status == 200


async def test_the_picker_can_forbid_a_request_to_move_on(bed: Bed) -> None:
    bed.one.status = 503
    bed.pick(bed.one, bed.two)
    bed.orders.legs = {"x-gateway-retries": "0"}
    assert ((await bed.ask()).status, new_requests(bed)) == (503, (1, 0))

    bed.one.status = 200
    seen = (await bed.ask(headers={"x-envoy-max-retries": "9"})).json["headers"]
    assert isinstance(seen, dict)
    assert not {"x-gateway-retries", "x-envoy-max-retries"} & seen.keys()


async def test_a_plain_service_is_asked_again_only_where_nothing_can_have_begun(make_bed: MakeBed) -> None:
    async with ModelServer("plain", fault="reset").serving() as plain:
        route = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: plain}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - matches: [{{path: {{value: /plain}}}}]
    backendRefs: [{{name: plain, port: 80}}]
---
apiVersion: v1
kind: Service
metadata: {{name: plain}}
spec: {{ports: [{{port: 80}}]}}
{slice_of("plain", plain.port, {"kubernetes.io/service-name": "plain"})}"""
        async with make_bed(plain=route) as bed:
            assert (await bed.ask(path="/plain")).status == 503
            assert len(plain.requests) == 1


async def test_a_client_that_leaves_ends_its_request_at_the_server_and_nothing_is_repeated(bed: Bed) -> None:
    bed.pick(bed.one, bed.two)
    for delay, body in ((10.0, None), (0.0, STREAM)):
        bed.one.delay, bed.one.left, before = delay, 0, len(bed.one.requests)
        asked_for = asyncio.create_task(bed.ask(body=body))
        async with asyncio.timeout(10):
            while len(bed.one.requests) == before:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # it generates
        asked_for.cancel()
        left_at = time.monotonic()
        async with asyncio.timeout(10):
            while not bed.one.left:
                await asyncio.sleep(0.005)

        assert time.monotonic() - left_at < 3
    assert bed.two.requests == []
