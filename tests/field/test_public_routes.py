"""What a public route exposes of a model server, and what a client may say to the gateway, on a real Envoy."""

import asyncio

import pytest

from controlplane.options import Options
from tests.conftest import ROOT
from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed, raw
from tests.contract.envoy.fakes import HOST

pytestmark = pytest.mark.envoy

RULE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [%s]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
"""


def paths(name: str) -> list[str]:
    """What is in a file of paths, one a line."""
    return (ROOT / "tests" / "data" / "paths" / f"{name}.txt").read_text().split()


# Of vLLM 0.25, SGLang 0.5.6 and TensorRT-LLM 1.1, and the simulator's.
ADMINISTRATIVE = paths("administrative")
# As a server would still take them.
SPELLINGS = (
    "/sleep?level=2",
    "/sleep?",
    "//v1//unload_lora_adapter",
    "/v1/./unload_lora_adapter",
    "/v1/chat/../unload_lora_adapter",
    "/v1/unload_lora_adapter/",
    "/v1/%75nload_lora_adapter",
    "/v1/unload%5Flora%5fadapter",
)
FOR_CLIENTS = paths("for-clients")


async def status_of(bed: Bed, path: str, body: bytes = b'{"model": "open"}') -> int:
    """By a request whose path no client library has touched."""
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"
    return (await raw(bed, head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body))[0]


@pytest.mark.parametrize("match", ["{path: {value: /}}", "{path: {type: RegularExpression, value: /.*}}"])
async def test_administrative_paths_are_closed(make_bed: MakeBed, match: str) -> None:
    async with make_bed(route=RULE % match) as bed:
        bed.pick(bed.one)

        closed = {path: await status_of(bed, path) for path in (*ADMINISTRATIVE, *SPELLINGS)}
        served = {path: await status_of(bed, path) for path in FOR_CLIENTS}

    assert closed == dict.fromkeys((*ADMINISTRATIVE, *SPELLINGS), 404)
    assert served == dict.fromkeys(FOR_CLIENTS, 200)
    assert [request.raw_path for request in bed.one.requests] == FOR_CLIENTS


async def test_a_closed_path_is_said_to_have_no_route_even_beside_routes_by_model(bed: Bed) -> None:
    for model in ("open", "unknown", None):
        answer = await bed.ask(model, path="/v1/unload_lora_adapter")

        assert (answer.status, answer.error["code"]) == (404, "route_not_found")
        assert answer.error["message"] == "No route serves POST /v1/unload_lora_adapter."


async def test_an_escaped_slash_leads_to_no_other_path(bed: Bed) -> None:
    bed.pick(bed.one)
    found = [await status_of(bed, path) for path in ("/v1%2Funload_lora_adapter", "/v1%5Cunload_lora_adapter")]

    assert found == [307, 307]  # to the path with a slash, which is closed
    assert bed.one.requests == []


async def test_a_rewritten_prefix_opens_nothing(make_bed: MakeBed) -> None:
    rewrite = "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]"
    route = RULE % "{path: {value: /team}}" + f"    {rewrite}\n"
    async with make_bed(route=route) as bed:
        bed.pick(bed.one)

        assert await status_of(bed, "/team/sleep") == 404
        assert await status_of(bed, "/team/v1/load_lora_adapter") == 404
        assert await status_of(bed, "/team/v1/completions") == 200


async def test_an_exact_path_opens_what_it_names(make_bed: MakeBed) -> None:
    route = RULE % "{path: {type: Exact, value: /v1/load_lora_adapter}}, {path: {value: /}}"
    async with make_bed(route=route) as bed:
        bed.pick(bed.one)

        assert await status_of(bed, "/v1/load_lora_adapter") == 200
        assert await status_of(bed, "/v1/unload_lora_adapter") == 404


async def test_the_way_to_other_legs_is_closed_in_every_spelling(bed: Bed) -> None:
    bed.pick(bed.one)
    names = (
        "x-prefiller-url",
        "x-prefiller-host-port",
        "x_prefiller_host_port",
        "X-Prefiller_Url",
        "x_encoder_hosts_ports",
        "x_data_parallel_host_port",
        "x-kv_cache_source-host-port",
    )

    answer = await bed.ask(headers=dict.fromkeys(names, f"http://{HOST}:{bed.two.port}"))

    seen = answer.json["headers"]
    assert isinstance(seen, dict)
    assert not {name.lower() for name in names} & seen.keys()
    assert not {name.lower() for name in names} & bed.orders.headers[0].keys()


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
async def test_a_client_asks_for_explanations_only_where_the_operator_lets_it(make_bed: MakeBed, is_open: bool) -> None:
    async with make_bed(Options(client_explanations=is_open)) as bed:
        bed.pick(bed.one)
        await bed.ask(headers={"x-pointsman-explain": "true"})

    assert ("x-pointsman-explain" in bed.orders.headers[0]) is is_open


UNFINISHED = b"POST /%b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n{"
TURNED_AWAY = """---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: moved}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /moved}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: b}}]
"""


async def test_nobody_waits_for_a_body_that_no_rule_serves(bed: Bed) -> None:
    async with asyncio.timeout(5):
        status, body = await raw(bed, UNFINISHED % b"nowhere")

    assert (status, b'"code":"route_not_found"' in body) == (404, True)


async def test_nobody_waits_for_a_body_whose_model_changes_nothing(make_bed: MakeBed) -> None:
    async with make_bed(route=ROUTE + TURNED_AWAY) as bed:
        async with asyncio.timeout(5):
            status, _ = await raw(bed, UNFINISHED % b"moved")

    assert status == 302


async def test_methods_other_than_post_are_routed_by_their_model_too(bed: Bed) -> None:
    bed.pick(bed.one)

    assert (await bed.ask(method="PUT", body=b'{"model": "open"}')).status == 200
