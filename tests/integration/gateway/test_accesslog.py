"""The access log service on a real socket: batches arrive, and a drain ends streams that would never end."""

import asyncio

import grpc
import grpc.aio

from gateway import protos
from gateway.accesslog.codec import Codec
from gateway.accesslog.entries import LogEntry
from gateway.accesslog.receiver import AccessLogReceiver
from gateway.rpc.server import Serving, serving

POOL = protos.load_pool()
Message = protos.message_class(POOL, "envoy.service.accesslog.v3.StreamAccessLogsMessage")
Response = protos.message_class(POOL, "envoy.service.accesslog.v3.StreamAccessLogsResponse")
PATH = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"


def batch(*statuses: int):
    message = Message()
    for status in statuses:
        message.http_logs.log_entry.add().response.response_code.value = status
    return message


async def test_batches_are_received_and_a_drain_ends_the_stream_with_ok(how: Serving) -> None:
    received: list[tuple[LogEntry, ...]] = []
    receiver = AccessLogReceiver(Codec({}, ()), received.append)
    async with (
        serving([receiver], "127.0.0.1:0", how) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        assert not receiver.is_attached
        call = channel.stream_unary(PATH, lambda message: message.SerializeToString(), Response.FromString)()
        await call.write(batch(200, 404))
        await call.write(batch(503))
        async with asyncio.timeout(10):
            while len(received) < 2:
                await asyncio.sleep(0.005)
        assert [[entry.status for entry in entries] for entries in received] == [[200, 404], [503]]
        assert receiver.is_attached
        await receiver.drain()
        assert await call.code() is grpc.StatusCode.OK
        assert not receiver.is_attached


async def test_a_proxy_that_goes_away_is_no_longer_attached(how: Serving) -> None:
    receiver = AccessLogReceiver(Codec({}, ()), lambda entries: None)
    async with (
        serving([receiver], "127.0.0.1:0", how) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.stream_unary(PATH, lambda message: message.SerializeToString(), Response.FromString)()
        await call.write(batch(200))
        async with asyncio.timeout(10):
            while not receiver.is_attached:
                await asyncio.sleep(0.005)
            call.cancel()
            while receiver.is_attached:
                await asyncio.sleep(0.005)
    assert not receiver.is_attached
