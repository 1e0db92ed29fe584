"""Rules of routes beside picks: weights, plain Services, policies and filters that are not supported."""

import asyncio

import pytest

from controlplane.options import Options, PickerTransport
from gateway.kube.objects import ObjectName
from tests.contract.envoy.conftest import ROUTE, MakeBed
from tests.contract.envoy.fakes import HOST, ModelServer
from tests.contract.envoy.gateway_under_test import slice_of

pytestmark = pytest.mark.envoy


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


POLICY = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: keys}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gateway}]
  extAuth: {http: {backendRefs: [{name: keys, port: 80}]}}
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
