"""gRPC health on a real socket, by both transports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from gateway import protos
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, serving
from tests.integration.gateway.extproc.talk import channel

POOL = protos.load_pool()
HealthRequest = protos.message_class(POOL, "grpc.health.v1.HealthCheckRequest")
HealthResponse = protos.message_class(POOL, "grpc.health.v1.HealthCheckResponse")
HealthListRequest = protos.message_class(POOL, "grpc.health.v1.HealthListRequest")
HealthListResponse = protos.message_class(POOL, "grpc.health.v1.HealthListResponse")


class Process:
    """What health is asked about."""

    def __init__(self) -> None:
        self.ready = True
        self.now = 0.0
        self.health = Health(lambda: self.ready, lambda: self.now)


@asynccontextmanager
async def health_client(process: Process, how: Serving) -> AsyncIterator[grpc.aio.Channel]:
    async with serving([process.health], "127.0.0.1:0", how) as port, channel(port) as opened:
        yield opened


async def status(client: grpc.aio.Channel, service: str) -> int:
    check = client.unary_unary(
        "/grpc.health.v1.Health/Check", lambda message: message.SerializeToString(), HealthResponse.FromString
    )
    return int((await check(HealthRequest(service=service))).status)


async def test_health_follows_readiness_but_liveness_does_not(how: Serving) -> None:
    process = Process()
    names = ["", "envoy.service.ext_proc.v3.ExternalProcessor", "readiness", "inference-extension"]
    async with health_client(process, how) as client:
        assert [await status(client, name) for name in names] == [1, 1, 1, 1]
        process.ready = False
        assert [await status(client, name) for name in names] == [2, 2, 2, 2]
        assert await status(client, "liveness") == 1
        assert await status(client, "nobody") == 3


async def test_health_lists_every_name(how: Serving) -> None:
    process = Process()
    async with health_client(process, how) as client:
        lists = client.unary_unary(
            "/grpc.health.v1.Health/List", lambda message: message.SerializeToString(), HealthListResponse.FromString
        )
        listed = (await lists(HealthListRequest())).statuses
    assert {name: listed[name].status for name in listed} == dict.fromkeys(
        ["", "liveness", "readiness", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor"], 1
    )


async def test_a_watcher_hears_of_each_change_once(how: Serving) -> None:
    process = Process()
    async with health_client(process, how) as client:
        watch = client.unary_stream(
            "/grpc.health.v1.Health/Watch", lambda message: message.SerializeToString(), HealthResponse.FromString
        )
        call = watch(HealthRequest(service="readiness"))
        assert (await call.read()).status == 1
        process.health.close()
        assert (await call.read()).status == 2
        call.cancel()


async def test_a_drain_waits_until_a_proxy_that_checks_has_heard_of_it(how: Serving) -> None:
    process = Process()
    async with health_client(process, how) as client:
        assert await status(client, "") == 1
        process.health.close()
        async with asyncio.TaskGroup() as group:
            announced = group.create_task(process.health.announced())
            await asyncio.sleep(0.02)
            assert not announced.done()
            assert await status(client, "") == 2


async def test_a_drain_waits_for_every_checker_and_not_only_for_the_first_that_hears_of_it(how: Serving) -> None:
    process = Process()
    async with health_client(process, how) as client, asyncio.TaskGroup() as group:
        assert await status(client, "") == 1
        process.health.close()
        announced = group.create_task(process.health.announced())
        assert await status(client, "") == 2
        await asyncio.sleep(0.1)
        assert not announced.done(), "the check of another cluster is still to come"


async def test_a_drain_waits_for_nobody_when_no_proxy_checks() -> None:
    process = Process()
    process.now = 1e6
    process.health.close()
    async with asyncio.timeout(1):
        await process.health.announced()
    assert process.health.status("readiness") == 2
