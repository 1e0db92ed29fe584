"""What a real Envoy does with a request on rendered configuration: who is asked, who serves, what is refused."""

import json

import pytest

from controlplane.options import Options, PickerTransport
from gateway.extproc.protocol.messages import refuse
from gateway.wire import errors
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST

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
