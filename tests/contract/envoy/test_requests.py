"""What a real Envoy does with a request on rendered configuration: who is asked, who serves, what is refused."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from controlplane.options import Options, PickerTransport
from gateway.extproc.protocol.messages import ImmediateReply, refuse
from gateway.kube.objects import ObjectName
from gateway.rpc.server import Transport
from gateway.wire import errors
from gateway.wire.protocol import HEARTBEAT_SECONDS
from tests.conftest import free_ports, required
from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed, raw
from tests.contract.envoy.fakes import HOST, ModelServer, start_picker
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = [pytest.mark.envoy, pytest.mark.grpcio]


async def test_the_picked_endpoint_serves(bed: Bed) -> None:
    for server in (bed.one, bed.two, bed.one):
        bed.pick(server)

        answer = await bed.ask()

        assert (answer.status, answer.server) == (200, server.name)
    assert bed.orders.pools == ["default/open"] * 3
    if bed.transport is PickerTransport.EXT_PROC:
        assert bed.orders.served == [f"{HOST}:{server.port}" for server in (bed.one, bed.two, bed.one)]


async def test_each_route_asks_about_its_own_pool(bed: Bed) -> None:
    bed.pick(bed.two)

    for model in ("open", "closed"):
        assert (await bed.ask(model)).server == "two"

    assert bed.orders.pools == ["default/open", "default/closed"]


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
    body = b'{"model": "closed", "stream": true}'
    async with bed.gateway.session.post(
        f"{bed.gateway.url}/v1/completions", data=body, headers={"content-type": "application/json"}
    ) as answer:
        first = await answer.content.readuntil(b"\n\n")
        await bed.picker.stop()
        rest = await answer.content.read()

    assert b'"index": 0' in first
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_what_the_picker_answers_passes_as_it_is(bed: Bed) -> None:
    for refusal in (
        refuse(errors.Rejection(429, errors.ErrorCode.POOL_SATURATED, "later", retry_after=3)),
        refuse(errors.Rejection(503, errors.ErrorCode.NO_READY_ENDPOINT, "none of it")),
        refuse(errors.Rejection(404, errors.ErrorCode.MODEL_NOT_FOUND, "not here")),
        refuse(errors.Rejection(500, errors.ErrorCode.INTERNAL, "oh")),
    ):
        bed.orders.reply = refusal
        for model in ("open", "closed"):
            answer = await bed.ask(model)
            assert (answer.status, answer.error) == (refusal.status, json.loads(refusal.body)["error"])
        assert answer.headers.get("retry-after") == dict(refusal.headers).get("retry-after")
    assert bed.one.requests == bed.two.requests == []


async def test_control_headers_of_a_client_never_arrive(bed: Bed) -> None:
    bed.pick(bed.two)
    spoofed = {
        "X-Gateway-Destination-Endpoint": f"{HOST}:{bed.one.port}",
        "x-gateway-destination-endpoint-subset": f"{HOST}:{bed.one.port}",
        "x-gateway-model-name": "closed",
        "x-gateway-base-model-name": "other",
        "x-gateway-inference-pool": "default/closed",
        "x-gateway-anything": "1",
        "x_gateway_model_name": "closed",
        "X-Gateway_Destination-Endpoint": f"{HOST}:{bed.one.port}",
        "x-prefiller-host-port": f"{HOST}:{bed.one.port}",
        "X-Encoder-Hosts-Ports": f"{HOST}:{bed.one.port}",
        "x-data-parallel-host-port": f"{HOST}:{bed.one.port}",
        "x-kv-cache-source-host-port": f"{HOST}:{bed.one.port}",
        "x-pointsman-client-x-gateway-inference-objective": "smuggled",
        "x-envoy-max-retries": "0",
        "x-envoy-upstream-rq-timeout-ms": "1",
    }
    allowed = {
        "x-gateway-inference-fairness-id": 'ten%REQ(x)%ant "7", a',
        "x-gateway-model-name-rewrite": "tuned",
    }

    answer = await bed.ask(headers=spoofed | allowed)

    assert answer.server == "two"
    own = {
        "x-gateway-inference-pool",
        "x-gateway-fallback-endpoints",
        "x-gateway-model-headers",
        "x-gateway-longest-wait",
    }
    assert bed.orders.pools == ["default/open"]
    headers = {
        key: value
        for key, value in bed.orders.headers[0].items()
        if key.startswith(("x-gateway", "x-pointsman")) and key not in own
    }
    assert headers == allowed | {"x-gateway-model-name": "open", "x-gateway-inference-model": "open"}
    seen = answer.json["headers"]
    assert isinstance(seen, dict)
    own_of_the_gateway = {"x-gateway-model-name", "x-gateway-inference-model", "x-gateway-destination-endpoint"}
    sent = {name.lower() for name in spoofed if not name.startswith("x-envoy")}
    assert not sent & seen.keys() - own_of_the_gateway
    assert "x-envoy-upstream-rq-timeout-ms" not in seen


async def test_where_other_legs_run_reaches_the_model_server_as_the_picker_says(bed: Bed) -> None:
    bed.pick(bed.two)
    bed.orders.legs = {"x-prefiller-host-port": "10.0.0.1:80", "x-encoder-hosts-ports": "10.0.0.2:80,10.0.0.3:80"}

    answer = await bed.ask(headers=dict.fromkeys(bed.orders.legs, "10.9.9.9:80"))

    seen = answer.json["headers"]
    assert isinstance(seen, dict)
    assert {name: seen[name] for name in bed.orders.legs} == bed.orders.legs


async def test_a_client_cannot_steer_where_no_picker_answers(bed: Bed) -> None:
    await bed.picker.stop()
    target = {"x-gateway-destination-endpoint": f"{HOST}:{bed.one.port}"}

    assert (await bed.ask("closed", headers=target)).status == 503


async def test_each_miss_says_what_is_missing(bed: Bed) -> None:
    unknown = await bed.ask('no"pe%')
    nameless = await bed.ask(None)
    unrouted = await bed.ask(path="/v2/else?secret=1")
    broken = await bed.ask(body=b"{")

    assert (unknown.status, unknown.error["code"], unknown.error["param"]) == (404, "model_not_found", "model")
    assert unknown.error["message"] == "The model 'no\"pe%' does not exist."
    assert (nameless.status, nameless.error["code"]) == (400, "invalid_request")
    assert (unrouted.status, unrouted.error["code"]) == (404, "route_not_found")
    assert unrouted.error["message"] == "No route serves POST /v2/else."
    assert (broken.status, broken.error["code"]) == (400, "invalid_json")
    assert (await bed.ask(method="GET", path="/v1/other")).error["code"] == "route_not_found"


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


async def test_bodies_up_to_the_limit_pass_and_larger_ones_are_413(make_bed: MakeBed) -> None:
    async with make_bed(Options(body_limit=24_000_000)) as bed:
        bed.pick(bed.two)
        for size in (2_000_000, 20_000_000):
            answer = await bed.ask(size=size)
            assert (answer.status, answer.server) == (200, "two")
            assert int(str(answer.json["size"])) > size

        large = await bed.ask(size=24_000_001)

    assert (large.status, large.error["code"]) == (413, "request_too_large")


async def test_a_request_without_a_body_is_picked_too(make_bed: MakeBed) -> None:
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: info}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {type: Exact, value: /info}, method: GET}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: closed}]
"""
    async with make_bed(info=route) as bed:
        bed.pick(bed.two)

        answer = await bed.ask(path="/info?full=1", method="GET")

    assert (answer.status, answer.server, answer.json["path"]) == (200, "two", "/info?full=1")


async def test_the_model_list_is_asked_of_the_picker_for_all_pools(bed: Bed) -> None:
    listed = b'{"object": "list", "data": []}'
    bed.orders.reply = ImmediateReply(200, (("content-type", "application/json"),), listed)

    answer = await bed.ask(path="/v1/models", method="GET")

    assert (answer.status, answer.body) == (200, listed)
    assert bed.orders.pools == ["default/closed,default/open"]


async def test_the_model_list_without_a_picker_is_503(bed: Bed) -> None:
    await bed.picker.stop()

    answer = await bed.ask(path="/v1/models", method="GET")

    assert (answer.status, answer.error["code"]) == (503, "picker_unavailable")


async def test_a_weighted_rule_asks_the_picker_of_the_pool_that_was_drawn(make_bed: MakeBed) -> None:
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: open, weight: 1}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: closed, weight: 1,
       filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-share, value: 50%}]}}]}
"""
    async with make_bed(route=route) as bed:
        bed.pick(bed.two)
        answers = [await bed.ask() for _ in range(40)]

    pools = bed.orders.pools
    assert {answer.status for answer in answers} == {200}
    assert set(pools) == {"default/open", "default/closed"}
    marked = [answer.headers.get("x-share") for answer in answers]
    assert marked == ["50%" if name == "default/closed" else None for name in pools]


async def test_a_plain_service_is_served_without_a_picker(make_bed: MakeBed) -> None:
    async with ModelServer("plain").serving() as plain:
        route = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: plain}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - matches: [{{path: {{value: /plain}}}}]
    filters:
    - type: URLRewrite
      urlRewrite: {{hostname: inner, path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}
    - type: RequestHeaderModifier
      requestHeaderModifier:
        {{set: [{{name: x-set, value: "100%"}}], add: [{{name: x-add, value: b}}], remove: [x-drop]}}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{add: [{{name: x-answer, value: c}}]}}
    backendRefs: [{{name: plain, port: 80}}]
  - matches: [{{path: {{value: /old}}}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {{statusCode: 301, path: {{type: ReplacePrefixMatch, replacePrefixMatch: /new}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: plain}}
spec: {{ports: [{{port: 80}}]}}
{slice_of("plain", plain.port, {"kubernetes.io/service-name": "plain"})}"""
        async with make_bed(plain=route) as bed:
            sent = {"x-add": "a", "x-drop": "1", "x-set": "0"}
            answer = await bed.ask(path="/plain/a?b=1", method="GET", headers=sent)
            async with bed.gateway.session.get(f"{bed.gateway.url}/old/x", allow_redirects=False) as moved:
                location = moved.headers["location"]

    seen = answer.json["headers"]
    assert isinstance(seen, dict)
    assert (answer.server, answer.json["path"], seen["host"]) == ("plain", "/a?b=1", "inner")
    assert (seen["x-set"], seen["x-add"], "x-drop" in seen) == ("100%", "a,b", False)
    assert answer.headers["x-answer"] == "c"
    assert bed.orders.pools == []
    assert (moved.status, location) == (301, f"http://{HOST}:{bed.gateway.port}/new/x")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_usage_of_an_answer_reaches_the_picker(bed: Bed, content_type: str) -> None:
    bed.two.content_type = content_type
    bed.two.padding = 8_000_000
    bed.pick(bed.dead, bed.two)

    answer = await bed.ask()

    assert len(answer.body) > 8_000_000
    entry = await _last_entry(bed)
    assert _usage(entry) == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cached_tokens": 4}
    common = entry.common_properties
    assert (common.upstream_request_attempt_count, common.upstream_cluster) == (2, "pool_default_open")
    assert common.upstream_remote_address.socket_address.port_value == bed.two.port
    assert int(common.custom_tags["ttft"]) >= 0
    namespace = "envoy.lb" if bed.transport is PickerTransport.EXT_PROC else "envoy.filters.http.ext_authz"
    assert common.metadata.filter_metadata[namespace]["x-pointsman-pick-id"] == "pick-1"
    assert entry.response.response_code.value == 200


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
@pytest.mark.parametrize("grpc_transport", [Transport.NGHTTP2], ids=["nghttp2"])
async def test_usage_of_a_stream_and_its_heartbeats_reach_the_picker(bed: Bed) -> None:
    bed.two.gap = 1.3 * HEARTBEAT_SECONDS / 10  # there are ten: in all longer than one heartbeat, shorter than two
    bed.pick(bed.two)

    await bed.ask(body=b'{"model": "open", "stream": true}')

    assert _usage(await _last_entry(bed))["total_tokens"] == 12
    are_live = [entry.common_properties.intermediate_log_entry for entry in bed.picker.log.entries]
    assert are_live == [True, False]


async def test_extraction_switched_off_leaves_everything_but_tokens(make_bed: MakeBed) -> None:
    async with make_bed(Options(usage_extraction=False)) as bed:
        bed.pick(bed.two)
        await bed.ask()

        entry = await _last_entry(bed)

    assert _usage(entry) == {}
    assert int(entry.common_properties.custom_tags["ttft"]) >= 0


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


async def test_bytes_that_are_no_http_get_an_error_in_shape(bed: Bed) -> None:
    for sent, status in (
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 80_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400),
    ):
        answered, body = await raw(bed, sent)

        assert answered == status, sent[:60]
        assert json.loads(body)["error"]["code"] == "invalid_request"
    answered, body = await raw(bed, b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert (answered, json.loads(body)["error"]["code"]) == (404, "route_not_found")
    assert bed.orders.pools == []


@pytest.mark.parametrize("token", [b"TLS/1.2", b"h2c", b"websocket"])
async def test_an_upgrade_is_ignored(bed: Bed, token: bytes) -> None:
    bed.pick(bed.one)
    body = b'{"model": "open"}'
    head = b"POST /v1/completions HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: " + token
    head += b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)

    assert (await raw(bed, head + body))[0] == 200


async def test_http_1_0_is_served_on_loopback_unless_it_is_switched_off(make_bed: MakeBed) -> None:
    request = b"GET / HTTP/1.0\r\nhost: a\r\n\r\n"
    async with make_bed() as bed:
        answered, body = await raw(bed, request)
        assert (answered, json.loads(body)["error"]["code"]) == (404, "route_not_found")
    async with make_bed(Options(http10=False)) as bed:
        answered, body = await raw(bed, request)
        assert (answered, json.loads(body)["error"]["code"]) == (426, "invalid_request")


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
async def test_as_many_requests_are_retried_as_a_server_had(bed: Bed) -> None:
    """A retry is held until its answer ends: more of them at once than any small constant."""
    bed.one.gap = 0.3
    bed.pick(bed.dead, bed.one)
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(bed.ask(body=b'{"model": "open", "stream": true}')) for _ in range(100)]

    assert {task.result().status for task in sent} == {200}


@pytest.mark.parametrize(
    "model",
    ['a"b\\c', "mödel-日本-😀", "%REQ(x)%", "m" * 1000, "é" * 1000, "a\r\nx-gateway-model-name: open", "a\0b", "a\x01"],
)
async def test_a_hostile_model_name_stays_inside_its_error(bed: Bed, model: str) -> None:
    answer = await bed.ask(model)

    assert answer.status in (400, 404)
    assert answer.error["param"] == "model"
    if answer.status == 404:
        assert answer.error["message"] == f"The model '{model}' does not exist."
    assert bed.one.requests == bed.two.requests == []


async def test_a_chunked_body_with_trailers_is_routed_and_its_trailers_steer_nothing(bed: Bed) -> None:
    bed.pick(bed.one)
    body = b'{"model": "open"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = (
        b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json; charset=utf-8\r\n"
        b"connection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-gateway-model-name\r\n\r\n"
    )
    status, _ = await raw(bed, head + chunks + b"0\r\nx-gateway-model-name: closed\r\n\r\n")

    assert status == 200
    assert bed.orders.pools == ["default/open"]
    assert len(bed.one.requests) == 1


async def test_two_pickers_are_asked_each_for_its_pool(make_bed: MakeBed, grpc_transport: Transport) -> None:
    grpc, http = free_ports(2)
    other = await start_picker(grpc, http, transport=grpc_transport)
    notes = f"pointsman.dev/picker-http-port: '{http}'"
    pools = pool("open") + pool("closed", "FailClose", picker="other", notes=notes)
    extra = slice_of("other", grpc, {"kubernetes.io/service-name": "other"})
    try:
        async with make_bed(pools=pools, other=extra) as bed:
            bed.pick(bed.one)
            other.orders.endpoints = [f"{HOST}:{bed.two.port}"]

            assert [(await bed.ask(model)).server for model in ("open", "closed")] == ["one", "two"]
    finally:
        await other.stop()
    assert (bed.orders.pools, other.orders.pools) == (["default/open"], ["default/closed"])


async def _last_entry(bed: Bed) -> Any:
    async with asyncio.timeout(10):
        while not any(entry.response.response_code.value for entry in bed.picker.log.entries):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
    return bed.picker.log.entries[-1]


def _usage(entry: Any) -> dict[str, int]:
    return {key: int(value) for key, value in entry.common_properties.metadata.filter_metadata["llm"].items()}


@pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"])
async def test_one_listener_can_ask_through_both_doors(make_bed: MakeBed) -> None:
    pools = pool("open") + pool("closed", "FailClose", notes="pointsman.dev/picker: ext_proc")
    async with make_bed(pools=pools) as bed:
        bed.pick(bed.dead, bed.two)

        for model in ("open", "closed"):
            assert (await bed.ask(model)).server == "two"

    assert bed.orders.pools == ["default/open", "default/closed"]
    by_http = ["x-envoy-expected-rq-timeout-ms" in headers for headers in bed.orders.headers]
    assert by_http == [True, False]


BY_BASE_MODEL = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /v1}, headers: [{name: X-Gateway-Base-Model-Name, value: Org/base.1}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: adapters, labels: {inference.networking.k8s.io/bbr-managed: "true"}}
data: {baseModel: Org/base.1, adapters: "[one, two]"}
"""


@pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"])
async def test_adapters_are_routed_by_their_base_model_without_a_router(make_bed: MakeBed) -> None:
    async with make_bed(route=BY_BASE_MODEL) as bed:
        bed.pick(bed.two)
        found = {model: (await bed.ask(model)).status for model in ("Org/base.1", "one", "two", "Org/baseX1", "three")}

    assert found == {"Org/base.1": 200, "one": 200, "two": 200, "Org/baseX1": 404, "three": 404}


@pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"])
async def test_a_base_model_may_have_a_hundred_adapters_without_a_router(make_bed: MakeBed) -> None:
    adapters = ", ".join(f"team-{number}-of-a-large-company" for number in range(100))
    route = BY_BASE_MODEL.replace("[one, two]", f"[{adapters}]")
    async with make_bed(route=route) as bed:
        bed.pick(bed.two)

        assert (await bed.ask("team-99-of-a-large-company")).status == 200


@pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"])
async def test_a_body_that_is_no_json_is_not_lifted_and_passes(make_bed: MakeBed) -> None:
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: files}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /files}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
"""
    async with make_bed(files=route) as bed:
        bed.pick(bed.two)
        sent = {"content-type": "application/octet-stream"}
        answer = await bed.ask(path="/files/1", body=bytes(range(256)) * 4000, headers=sent)

    assert (answer.status, answer.json["size"]) == (200, 1_024_000)


@pytest.fixture
def self_signed(tmp_path: Path) -> Path:
    """A folder with a certificate that nobody vouches for, as pickers come with."""
    binary = shutil.which("openssl")
    required("openssl", binary, install="apt-get install openssl")
    folder = tmp_path / "certificate"
    folder.mkdir()
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=somebody"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run([str(binary), *request, *files], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
@pytest.mark.parametrize(("skips", "status"), [("true", 200), ("false", 503)], ids=["unverified", "verified"])
async def test_a_self_signed_picker_is_taken_only_where_a_destination_rule_says_so(
    make_bed: MakeBed, self_signed: Path, grpc_transport: Transport, skips: str, status: int
) -> None:
    (port,) = free_ports(1)
    secure = await start_picker(port, certificate=self_signed, transport=grpc_transport)
    rule = f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: secure}}
spec: {{host: secure, trafficPolicy: {{tls: {{mode: SIMPLE, insecureSkipVerify: {skips}}}}}}}
{slice_of("secure", port, {"kubernetes.io/service-name": "secure"})}"""
    pools = pool("open") + pool("closed", "FailClose", picker="secure")
    try:
        async with make_bed(pools=pools, secure=rule, waits_for="epp_default_epp_9002|bbr") as bed:
            if status == 200:
                await bed.gateway.until("cluster.epp_default_secure_9002.membership_healthy", 1)
            secure.orders.endpoints = [f"{HOST}:{bed.two.port}"]

            answer = await bed.ask("closed")
    finally:
        await secure.stop()

    assert answer.status == status
    assert secure.orders.pools == ["default/closed"] * (status == 200)


POLICY = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: keys}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gateway}]
  apiKeyAuth: {credentialRefs: [{name: keys}], extractFrom: [{headers: [x-api-key]}]}
"""


async def test_a_policy_that_is_not_supported_lets_nobody_pass(make_bed: MakeBed) -> None:
    async with make_bed(policy=POLICY) as bed:
        bed.pick(bed.one)
        answers = [await bed.ask("open"), await bed.ask("open", headers={"x-api-key": "k"})]
        models = await bed.ask(method="GET", path="/v1/models")

        assert [answer.status for answer in answers] == [500, 500]
        assert answers[0].error["message"] == "A policy that restricts access is not supported."
        assert models.status == 404


async def test_a_filter_that_is_not_supported_costs_its_rule_alone(make_bed: MakeBed) -> None:
    extension = "filters: [{type: ExtensionRef, extensionRef: {group: a.b, kind: Magic, name: m}}]"
    changed = ROUTE.replace("value: closed}]}]", f"value: closed}}]}}]\n    {extension}")
    async with make_bed(route=changed) as bed:
        bed.pick(bed.one)
        good, bad = await bed.ask("open"), await bed.ask("closed")

        assert (good.status, bad.status) == (200, 500)
        assert bad.error["message"] == "The route has a filter that is not supported."


SPLIT = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{headers: [{name: x-gateway-inference-model, value: m}]}]
    backendRefs: [{name: open, weight: 90}, {name: closed, weight: 10}]
"""


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
async def test_a_split_by_weight_holds(make_bed: MakeBed) -> None:
    """As an article writes it: by a header that its BBR sets, to backends without a kind."""
    async with make_bed(route=SPLIT) as bed:
        bed.pick(bed.one)

        async def some() -> None:
            for _ in range(100):
                assert (await bed.ask("m")).status == 200

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(some())

        share = bed.orders.pools.count("default/open") / len(bed.orders.pools)
        assert len(bed.orders.pools) == 2000
        assert abs(share - 0.9) < 0.03


AI_ROUTE = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata: {name: llm}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gateway}]
  rules:
  - matches: [{headers: [{type: Exact, name: x-target-inference-extension, value: "yes"}]}]
    backendRefs: [{name: bound, kind: InferencePool}]
  - matches: [{headers: [{type: Exact, name: x-target-inference-extension, value: "no"}]}]
    backendRefs: [{name: mine}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: bound}
spec: {selector: {app: mine}}
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIServiceBackend
metadata: {name: mine, labels: {app: mine}}
spec:
  schema: {name: OpenAI}
  backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: addresses}
"""
ADDRESSES = """
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: addresses}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: %d}}]}
"""


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
async def test_rules_of_envoy_ai_gateway_go_through_the_picker_and_around_it(make_bed: MakeBed) -> None:
    options = Options(default_picker=(ObjectName("default", "epp"), 9002))
    async with make_bed(options, route=AI_ROUTE) as bed:
        await bed.gateway.apply(addresses=ADDRESSES % bed.two.port)
        bed.pick(bed.two)
        answers = [await bed.ask("m", headers={"x-target-inference-extension": value}) for value in ("yes", "no", "x")]

        assert [answer.status for answer in answers] == [200, 200, 404]
        assert [answer.server for answer in answers[:2]] == ["two", "two"]
        assert bed.orders.pools == ["default/bound"]
