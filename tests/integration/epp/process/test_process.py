"""The endpoint picker as a process, spoken to as a proxy does: picks, sharing, reload, drain."""

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from gateway import protos
from tests.conftest import free_ports

POOL = protos.load_pool()
ProcessingRequest = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
ProcessingResponse = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingResponse")
LogMessage = protos.message_class(POOL, "envoy.service.accesslog.v3.StreamAccessLogsMessage")
LogResponse = protos.message_class(POOL, "envoy.service.accesslog.v3.StreamAccessLogsResponse")
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
LOGS = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
KEY = "x-gateway-destination-endpoint"

POOLS = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: a}
spec:
  selector: {matchLabels: {app: vllm}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: epp, port: {number: 9002}}
"""
SLICE = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s{port}, labels: {{app: vllm}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{name: http, port: {port}}}]
"""
CONFIG = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weight: 1}, {pluginRef: prefix-cache-scorer, weight: 3}]
"""
METRICS = b"vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0.1\n"
MODELS = b'{"object":"list","data":[{"id":"qwen","object":"model"}]}'


@asynccontextmanager
async def model_servers(count: int) -> AsyncIterator[list[int]]:
    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            opened.add(transport)

        def data_received(self, data: bytes) -> None:
            body = MODELS if data.startswith(b"GET /v1/models ") else METRICS
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))  # type: ignore[attr-defined]

    opened: set[asyncio.BaseTransport] = set()
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Server, "127.0.0.1", 0) for _ in range(count)]
    try:
        yield [server.sockets[0].getsockname()[1] for server in servers]
    finally:
        for server in servers:
            server.close()
        for transport in opened:
            transport.close()


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read(), "utf-8")


class Picker:
    def __init__(self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel, url: str) -> None:
        self.process = process
        self.channel = channel
        self.url = url

    def call(self, pool: str = "default/a"):
        encode = ProcessingRequest.SerializeToString
        process = self.channel.stream_stream(PROCESS, encode, ProcessingResponse.FromString)
        return process(metadata=(("x-gateway-inference-pool", pool),))

    async def ask(self, call, body: bytes | None, *, method: str = "POST", path: str = "/v1/completions"):
        message = ProcessingRequest()
        for key, value in ((":method", method), (":path", path), ("content-type", "application/json")):
            message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
        message.request_headers.end_of_stream = body is None
        message.protocol_config.request_body_mode = 2
        await call.write(message)
        reply = await call.read()
        if body is None:
            return reply
        message = ProcessingRequest()
        message.request_body.body, message.request_body.end_of_stream = body, True
        await call.write(message)
        return await call.read()

    async def pick(self, prompt: str, *, sees_response: bool = False) -> tuple[str, str]:
        """The first destination and the pick id."""
        call = self.call()
        reply = await self.ask(call, json.dumps({"model": "qwen", "prompt": prompt}).encode())
        if sees_response:
            message = ProcessingRequest()
            message.response_headers.headers.headers.add(key=":status", raw_value=b"200")
            await call.write(message)
            await call.read()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        fields = reply.dynamic_metadata.fields["envoy.lb"].struct_value.fields
        (option,) = [item for item in reply.request_body.response.header_mutation.set_headers if item.header.key == KEY]
        assert option.header.raw_value.decode() == fields[KEY].string_value
        return fields[KEY].string_value.split(",")[0], fields["x-pointsman-pick-id"].string_value

    async def metrics(self) -> str:
        return await asyncio.to_thread(fetch, f"{self.url}/metrics")

    async def until_metrics(self, *lines: str) -> None:
        shown = ""
        while not all(line in shown for line in lines):
            await asyncio.sleep(0.05)
            shown = await self.metrics()


def arguments(folder: Path, *more: str) -> tuple[list[str], int, int]:
    grpc_port, health_port, metrics_port = free_ports(3)
    found = [
        sys.executable, "-m", "epp", "--config-dir", str(folder), "--host", "127.0.0.1", "--grpc-port", str(grpc_port),
        "--grpc-health-port", str(health_port), "--metrics-port", str(metrics_port), "--secure-serving=false", *more,
    ]  # fmt: skip
    return found, grpc_port, metrics_port


@asynccontextmanager
async def picker(folder: Path, *more: str, log: Path | None = None) -> AsyncIterator[Picker]:
    command, grpc_port, metrics_port = arguments(folder, *more)
    with (log or folder / "log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stderr=output)
    url = f"http://127.0.0.1:{metrics_port}"
    try:
        async with asyncio.timeout(40), grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            found = Picker(process, channel, url)
            while True:
                try:
                    if 'result="ok"' in await found.metrics():
                        break
                except OSError:
                    pass
                await asyncio.sleep(0.05)
            yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def ports() -> AsyncIterator[list[int]]:
    async with model_servers(3) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, ports: list[int]) -> Path:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "all.yaml").write_text(POOLS + "".join(SLICE.format(port=port) for port in ports))
    return manifests


@pytest.mark.parametrize("transport", ["nghttp2", "grpcio"])
async def test_it_picks_lists_models_refuses_in_shape_and_ends_with_status_0(
    folder: Path, ports: list[int], transport: str
) -> None:
    async with picker(folder, "--grpc-transport", transport) as running:
        facts = json.loads(await asyncio.to_thread(fetch, f"{running.url}/debug"))
        assert facts == {"grpc_transport": transport, "tls": False}
        assert f'"transport": "{transport}"' in (folder / "log").read_text()
        destination, pick_id = await running.pick("hello " * 2000)
        assert destination in {f"127.0.0.1:{port}" for port in ports}
        assert (await running.pick("hello " * 2000))[0] == destination
        explained = await asyncio.to_thread(fetch, f"{running.url}/debug/explain/{pick_id}")
        assert json.loads(explained)["targets"][0] == destination
        age = datetime.now(UTC) - datetime.fromisoformat(json.loads(explained)["at"])
        assert timedelta(0) <= age < timedelta(minutes=1)

        models = (
            await running.ask(running.call("default/a"), None, method="GET", path="/v1/models")
        ).immediate_response
        assert models.status.code == 200
        assert [item["id"] for item in json.loads(models.body)["data"]] == ["qwen"]

        refused = (await running.ask(running.call(), b"{")).immediate_response
        assert (refused.status.code, json.loads(refused.body)["error"]["code"]) == (400, "invalid_json")
        unknown = (await running.ask(running.call("default/nobody"), b"{}")).immediate_response
        assert (unknown.status.code, json.loads(unknown.body)["error"]["code"]) == (503, "no_ready_endpoint")

        open_calls = [running.call() for _ in range(5)]  # answers in flight: the streams are past their last reply
        for call in open_calls:
            await running.ask(call, b'{"model":"qwen","prompt":"x"}')
        running.process.send_signal(signal.SIGTERM)
        assert [await call.code() for call in open_calls] == [grpc.StatusCode.OK] * 5
        assert await running.process.wait() == 0


def log_entries(pick_id: str, *are_live: bool):
    """An access log message with heartbeats and final entries of one pick."""
    message = LogMessage()
    for is_live in are_live:
        entry = message.http_logs.log_entry.add()
        common = entry.common_properties
        common.metadata.filter_metadata["envoy.lb"].fields["x-pointsman-pick-id"].string_value = pick_id
        common.metadata.filter_metadata["llm"].fields["completion_tokens"].number_value = 9
        common.custom_tags["ttft"] = "30"
        common.intermediate_log_entry = is_live
        entry.response.response_code.value = 200
    return message


@pytest.mark.parametrize("transport", ["nghttp2", "grpcio"])
async def test_the_access_log_reaches_the_pick_and_heartbeats_are_told_apart(folder: Path, transport: str) -> None:
    async with picker(folder, "--grpc-transport", transport) as running:
        _, pick_id = await running.pick("hello")
        call = running.channel.stream_unary(LOGS, LogMessage.SerializeToString, LogResponse.FromString)()
        await call.write(log_entries(pick_id, True, False))
        await running.until_metrics(
            'pointsman_epp_access_log_entries_total{kind="heartbeat"} 1.0',
            'pointsman_epp_access_log_entries_total{kind="final"} 1.0',
            'pointsman_epp_settled_total{outcome="ended",pool="default/a"} 1.0',
        )
        call.cancel()


async def test_manifests_and_configuration_are_followed_and_bad_ones_change_nothing(
    folder: Path, tmp_path: Path
) -> None:
    config, log = tmp_path / "config.yaml", tmp_path / "log"
    config.write_text(CONFIG)
    async with picker(folder, "--config-file", str(config), log=log) as running:
        (folder / "all.yaml").write_text("kind: [")
        config.write_text(CONFIG.replace("queue-scorer", "queue-scorr"))
        while "did you mean 'queue-scorer'?" not in log.read_text() or "all.yaml:1" not in log.read_text():
            await asyncio.sleep(0.05)
        destination, _ = await running.pick("still picking")
        (folder / "all.yaml").write_text(POOLS + SLICE.format(port=destination.rpartition(":")[2]))
        config.write_text(CONFIG.replace("weight: 3", "weight: 2"))
        await running.until_metrics('inference_pool_ready_pods{name="a"} 1.0')
        while "configuration reloaded" not in log.read_text():
            await asyncio.sleep(0.05)
        assert {(await running.pick(f"{number}"))[0] for number in range(5)} == {destination}


async def test_two_replicas_send_one_prefix_to_one_endpoint(folder: Path, tmp_path: Path, redis_server) -> None:
    redis = ("--redis-url", redis_server.url, "--replica-id")
    async with (
        picker(folder, *redis, "one", log=tmp_path / "1") as one,
        picker(folder, *redis, "two", log=tmp_path / "2") as two,
    ):
        for number in range(6):
            prompt = f"prefix {number} " * 500
            first, pick_id = await one.pick(prompt)
            assert pick_id.startswith("one-")
            await two.until_metrics(f'pointsman_epp_shared_events_total{{direction="in"}} {3 * (number + 1)}.0')
            assert (await two.pick(prompt))[0] == first
            await one.until_metrics(f'pointsman_epp_shared_events_total{{direction="in"}} {3 * (number + 1)}.0')


async def test_an_entry_that_reaches_the_wrong_replica_teaches_the_right_one(
    folder: Path, tmp_path: Path, redis_server
) -> None:
    redis = ("--redis-url", redis_server.url, "--replica-id")
    async with (
        picker(folder, *redis, "one", log=tmp_path / "1") as one,
        picker(folder, *redis, "two", log=tmp_path / "2") as two,
    ):
        call = two.channel.stream_unary(LOGS, LogMessage.SerializeToString, LogResponse.FromString)()
        model = '{model_name="qwen",target_model_name="qwen"}'
        _, pick_id = await one.pick("hello")
        await call.write(log_entries(pick_id, False))
        await one.until_metrics(f"inference_objective_output_tokens_sum{model} 9.0")
        _, pick_id = await one.pick("hello again", sees_response=True)  # which tells less than the entry to come
        await call.write(log_entries(pick_id, False))
        await one.until_metrics(f"inference_objective_output_tokens_sum{model} 18.0")
        assert "inference_objective_output_tokens_sum" not in await two.metrics()
        call.cancel()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--secure-serving", "--cert-path", "/does/not/exist"], "--cert-path /does/not/exist"),
        (["--config-file", "/does/not/exist"], "/does/not/exist"),
        (["--config-text", "kind: Nothing"], "--config-text:1"),
    ],
)
async def test_what_cannot_work_is_one_clear_line_and_a_failure(folder: Path, more: list[str], words: str) -> None:
    command, _, _ = arguments(folder, *more)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode != 0
    assert words in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_a_port_in_use_is_named(folder: Path, ports: list[int]) -> None:
    command, grpc_port, _ = arguments(folder)
    command[command.index(str(grpc_port))] = str(ports[0])
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert f"epp: cannot listen on 127.0.0.1:{ports[0]}" in errors.decode()
    assert "Traceback" not in errors.decode()
