"""What requests of an AIGatewayRoute cost, in the access logs of a real Envoy."""

import asyncio
import json
from pathlib import Path

import pytest

from controlplane.options import Delivery, Options, PickerTransport
from gateway.rpc.server import Transport
from gateway.wire import protocol
from tests.contract.envoy.ai_gateway import at, backend, document, routed
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import GATEWAY, pool, slice_of

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize(
        ("transport", "delivery", "grpc_transport"),
        [pytest.param(PickerTransport.EXT_PROC, Delivery.GRPC, Transport.NGHTTP2, id="once")],
    ),
]
AI = "aigateway.envoyproxy.io/v1beta1"
COSTS = """[
  {metadataKey: llm_input_token, type: InputToken}, {metadataKey: llm_cached_input_token, type: CachedInputToken},
  {metadataKey: llm_output_token, type: OutputToken}, {metadataKey: llm_total_token, type: TotalToken},
  {metadataKey: llm_reasoning_token, type: ReasoningToken},
  {metadataKey: price, type: CEL, cel: "input_tokens + 2u * output_tokens"}]"""
COUNTED = {"llm_input_token": 7, "llm_cached_input_token": 4, "llm_output_token": 5, "llm_total_token": 12}
COUNTED_HOST = "counted.example"
STREAMED = json.dumps({"model": "m", "stream": True}).encode().replace(b'"stream":true', b'"stream": true')


def route(name: str, reference: str, costs: str = COSTS) -> str:
    rules = f"[{{matches: [{{headers: [{{name: x-case, value: {name}}}]}}], backendRefs: [{reference}]}}]"
    return document(
        AI, "AIGatewayRoute", name, f"{{parentRefs: [{{name: gateway}}], rules: {rules}, llmRequestCosts: {costs}}}"
    )


async def lines(log: Path, count: int) -> list[dict[str, object]]:
    """The entries of the requests that count, once there are as many; those before may be written late."""
    async with asyncio.timeout(15):
        while len(found := counted(log)) < count:
            await asyncio.sleep(0.1)
    return found


def counted(log: Path) -> list[dict[str, object]]:
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [entry for entry in entries if entry["host"] == COUNTED_HOST]


async def costs_of(bed: Bed, log: Path, case: str, **options: object) -> list[object]:
    """Those of two requests, the second of which is a stream."""
    await routed(bed, case, **options)
    headers = {"x-case": case, "host": COUNTED_HOST}
    await bed.ask("m", headers=headers)
    await bed.ask("m", headers=headers, body=STREAMED)
    return [line["costs"] for line in await lines(log, 2)]


async def test_a_provider_without_a_picker_is_counted(make_bed: MakeBed, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    written = {"route": "", "pools": "", "endpoints": "", "ai": route("ai", "{name: own}")}
    async with make_bed(Options(access_log=str(log)), waits_for="bbr", **written) as bed:
        await bed.gateway.apply(ai=route("ai", "{name: own}") + backend("own", at(bed.one.port)))

        assert await costs_of(bed, log, "ai") == [COUNTED, COUNTED]
        for entry in await lines(log, 2):
            assert (entry["status"], entry["model"], entry["route"]) == (200, "m", "default/ai/0/0")


async def test_costs_of_a_pool_reach_its_picker_and_those_of_a_gateway_stand_behind_the_routes(
    make_bed: MakeBed, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    usual = "[{metadataKey: all, type: TotalToken}, {metadataKey: llm_input_token, type: TotalToken}]"
    config = document(AI, "GatewayConfig", "usual", f"{{globalLLMRequestCosts: {usual}}}")
    annotated = GATEWAY.replace("{name: gateway}", "{name: gateway, annotations: {%s: usual}}") % (
        "aigateway.envoyproxy.io/gateway-config"
    )
    async with make_bed(Options(access_log=str(log)), gateway=annotated, config=config) as bed:
        objects = route("ai", "{kind: InferencePool, name: own}") + pool("own")
        await bed.gateway.apply(ai=objects + slice_of("own", bed.one.port, {"app": "own"}))
        bed.pick(bed.one)

        assert await costs_of(bed, log, "ai") == [{**COUNTED, "all": 12}] * 2
        (costs,) = {
            tuple(sorted((key, value.number_value) for key, value in found.fields.items()))
            for entry in bed.picker.log.entries
            if (found := entry.common_properties.metadata.filter_metadata[protocol.COST_NAMESPACE]).fields
        }
        assert dict(costs) == {**COUNTED, "all": 12}

        assert (await bed.ask("open", headers={"host": COUNTED_HOST})).status == 200
        *_, plain = await lines(log, 3)
        assert (plain["costs"], plain["usage"]) == (None, {
            "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cached_tokens": 4,
            "cache_creation_tokens": None, "reasoning_tokens": None,
        })  # fmt: skip


async def test_an_answer_without_usage_costs_nothing_and_a_total_is_a_sum(make_bed: MakeBed, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with make_bed(Options(access_log=str(log))) as bed:
        await bed.gateway.apply(ai=route("ai", "{name: own}") + backend("own", at(bed.one.port)))
        await routed(bed)
        bed.one.content_type = "text/plain"
        await routed(bed, headers={"host": COUNTED_HOST})

        (entry,) = await lines(log, 1)
        assert (entry["costs"], entry["upstream"]) == (None, f"{HOST}:{bed.one.port}")
