"""The picker in place of the reference's image: a published Deployment's arguments, probes and TLS, nothing else."""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import grpc
import grpc.aio

from gateway import protos
from tests.conftest import free_ports
from tests.unit.epp.seed import SEED

POOL = protos.load_pool()
HealthRequest = protos.message_class(POOL, "grpc.health.v1.HealthCheckRequest")
HealthResponse = protos.message_class(POOL, "grpc.health.v1.HealthCheckResponse")
ProcessingRequest = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
ProcessingResponse = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingResponse")
NAMES = ("inference-extension", "readiness", "liveness", "envoy.service.ext_proc.v3.ExternalProcessor", "")
MANIFESTS = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: inference-model-server-pool, namespace: inference-model-server}
spec:
  selector: {matchLabels: {app: inference-model-server}}
  targetPorts: [{number: 3000}]
  endpointPickerRef: {name: endpoint-picker-svc, port: {number: 9002}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, namespace: inference-model-server, labels: {app: inference-model-server}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.7]}]
ports: [{port: 3000}]
"""


def published(config: Path) -> list[str]:
    """The Deployment's arguments; its mounted file is where the test put it."""
    return [
        "--pool-name", "inference-model-server-pool", "--pool-namespace", "inference-model-server", "--v", "4",
        "--zap-encoder", "json", "--config-file", str(config),
    ]  # fmt: skip


async def health(channel: grpc.aio.Channel, name: str) -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthRequest.SerializeToString, HealthResponse.FromString
    )
    return int((await check(HealthRequest(service=name))).status)


async def until_serving(channel: grpc.aio.Channel) -> None:
    while True:
        try:
            if await health(channel, "inference-extension") == 1:
                return
        except grpc.aio.AioRpcError:
            pass
        await asyncio.sleep(0.05)


async def endpoint(channel: grpc.aio.Channel) -> str:
    """What a request of a proxy that names no pool gets."""
    path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
    call = channel.stream_stream(path, ProcessingRequest.SerializeToString, ProcessingResponse.FromString)()
    message = ProcessingRequest()
    message.request_headers.end_of_stream = True
    for name, value in ((":path", b"/get"), (":method", b"GET")):
        message.request_headers.headers.headers.add(key=name, raw_value=value)
    await call.write(message)
    reply = await call.read()
    found = {item.header.key: item.header.raw_value.decode()
             for item in reply.request_headers.response.header_mutation.set_headers}  # fmt: skip
    call.cancel()
    return str(found["x-gateway-destination-endpoint"])


async def server_certificate(port: int) -> bytes:
    """As a proxy that does not verify gets it."""
    return (await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=20)).encode()


async def test_a_published_deployment_serves_over_tls_and_answers_every_probe(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "pool.yaml").write_text(MANIFESTS)
    (tmp_path / "default-plugins.yaml").write_text(SEED)
    serving, probing, metrics = free_ports(3)
    own = ["--grpc-port", str(serving), "--grpc-health-port", str(probing), "--metrics-port", str(metrics)]
    environment = {**os.environ, "POINTSMAN_CONFIG_DIR": str(tmp_path / "manifests")}
    command = [sys.executable, "-m", "epp", *published(tmp_path / "default-plugins.yaml"), *own]
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stderr=log, env=environment)
    try:
        async with asyncio.timeout(40), grpc.aio.insecure_channel(f"127.0.0.1:{probing}") as probes:
            await until_serving(probes)
            assert [await health(probes, name) for name in NAMES] == [1] * len(NAMES)

            secrets = grpc.ssl_channel_credentials(await server_certificate(serving))
            async with grpc.aio.secure_channel(f"localhost:{serving}", secrets) as channel:
                assert [await health(channel, name) for name in NAMES] == [1] * len(NAMES)
                assert await endpoint(channel) == "10.0.0.7:3000"
    finally:
        process.terminate()
        assert await process.wait() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_a_guard_that_cannot_be_is_one_line_and_a_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "epp", "--config-dir", str(tmp_path), "--guard", '{"denied": []}']
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode == 1
    assert "denied: unknown field; did you mean 'deny'?" in error.decode()
