"""Quotas on a real Envoy: checked before a request is placed, charged by what it used, in the client's own words."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import grpc
import pytest

from controlplane.options import Delivery, Options, PickerTransport
from gateway.kube.resolution.quotas import quota_rules
from gateway.kube.sources.files import load
from gateway.quotas.counters import Claim, MemoryCounters, Taken
from gateway.quotas.quotas import Quotas
from gateway.quotas.rules import RuleSet
from gateway.quotas.usage import Usage
from gateway.quotas.verdicts import Verdict
from gateway.ratelimit.codec import Codec
from gateway.ratelimit.gate import QuotaGate
from gateway.ratelimit.service import METHOD, RateLimits
from gateway.rpc.health import Health
from gateway.rpc.server import Transport, serving
from gateway.wire.quotas import END, PHASE, SUBJECT, TOKEN
from tests.conftest import free_ports
from tests.contract.envoy.ai_gateway import at, backend, document
from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed
from tests.contract.envoy.fakes import HOST

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize(
        ("delivery", "grpc_transport"), [pytest.param(Delivery.GRPC, Transport.NGHTTP2, id="once")]
    ),
]
EXT_PROC = pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
AI = "aigateway.envoyproxy.io/v1beta1"
NOON = 1_764_331_200.0
QUOTAS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: quotas, labels: {pointsman.dev/quotas: "true"}}
data:
  quotas: |
    - {name: tokens, when: {header:x-team: "*"}, tokens: 20, per: minute}
    - {name: large, when: {header:x-team: rich}, tokens: 1000000, per: minute}
    - {name: weighed, when: {header:x-team: weighed}, tokens: 100, per: minute, weights: {cached: 0, output: 2}}
    - {name: closed, when: {model: closed}, requests: 1, per: day}
    - {name: trial, when: {header:x-team: trial}, requests: 1, per: day, shadow: true}
"""


@dataclass
class Service:
    """The service that counts, with a clock of its own. `counts` turns false when its counters are gone."""

    port: int
    quotas: Quotas
    now: float = NOON
    counts: bool = True
    verdicts: list[Verdict] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    def decided(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def charged(self, usage: Usage) -> None:
        self.usages.append(usage)

    async def until_charged(self, count: int) -> Usage:
        async with asyncio.timeout(20):
            while len(self.usages) < count:
                await asyncio.sleep(0.02)
        assert len(self.usages) == count
        return self.usages[-1]


class Counters:
    """Those of a process, which may be gone."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self._memory = MemoryCounters()

    def take(self, claims: Sequence[Claim], now: float, taken: Taken) -> None:
        if self.service is not None and self.service.counts:
            self._memory.take(claims, now, taken)
        else:
            taken(None)

    def add(self, claims: Sequence[Claim], now: float) -> None:
        self._memory.add(claims, now)


@asynccontextmanager
async def counted(
    make_bed: MakeBed, *, fails_closed: bool = False, token: str | None = None, **files: str
) -> AsyncIterator[tuple[Bed, Service]]:
    """A bed whose requests are counted."""
    (port,) = free_ports(1)
    counters = Counters()
    watch = Service(port, None)  # type: ignore[arg-type]
    watch.quotas, counters.service = Quotas(counters, watch), watch
    gate = QuotaGate(watch.quotas)
    limits = RateLimits(Codec(), lambda asked, decided: gate.decide(asked, watch.now, decided), token)
    options = Options(quotas=(HOST, port), quotas_fail_closed=fails_closed, quota_token=token)
    async with (
        serving((limits, Health(lambda: True)), f"{HOST}:{port}"),
        make_bed(options, waits_for="epp.*|bbr|quotas", quotas=QUOTAS, **files) as bed,
    ):
        watch.quotas.replace(rules_of(bed))
        bed.pick(bed.one)
        yield bed, watch


def rules_of(bed: Bed) -> RuleSet:
    return RuleSet(quota_rules(load([bed.gateway.folder / "manifests"]).manifests))


def team(name: str) -> dict[str, str]:
    return {"x-team": name}


async def stream(bed: Bed, name: str, events: int | None = None) -> None:
    """Read a stream to its end, or leave after so many events."""
    body = json.dumps({"model": "open", "stream": True}).replace('"stream":true', '"stream": true').encode()
    headers = {"content-type": "application/json", **team(name)}
    with suppress(aiohttp.ClientConnectionError):
        async with bed.gateway.session.post(
            f"{bed.gateway.url}/v1/chat/completions", data=body, headers=headers
        ) as answer:
            assert answer.status == 200
            async for line in answer.content:
                if events is not None and line.startswith(b"data:"):
                    events -= 1
                    if events == 0:
                        answer.close()
                        return


async def test_requests_are_checked_before_they_queue_and_charged_by_what_they_used(make_bed: MakeBed) -> None:
    async with counted(make_bed) as (bed, service):
        # 12 tokens each: the second one ends above the limit, and the third is refused before a picker hears of it.
        first = await bed.ask(headers=team("a"))
        assert (first.status, first.headers["x-ratelimit-remaining-tokens"]) == (200, "20")
        assert await service.until_charged(1) == Usage(7, 4, 5)
        second = await bed.ask(headers=team("a"))
        assert (second.status, second.headers["x-ratelimit-remaining-tokens"]) == (200, "8")
        await service.until_charged(2)
        picked = len(bed.orders.pools)
        refused = await bed.ask(headers=team("a"))
        assert refused.status == 429
        assert (refused.error["code"], refused.error["type"]) == ("rate_limited", "rate_limit_error")
        assert 60 <= int(refused.headers["retry-after"]) <= 63
        assert refused.headers["x-ratelimit-limit-tokens"] == "20"
        assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
        assert refused.headers["x-ratelimit-reset-tokens"] == "1m3s"
        assert len(bed.orders.pools) == picked
        anthropic = await bed.ask(path="/v1/messages", headers=team("a"))
        assert (anthropic.status, anthropic.json["type"]) == (429, "error")

        # Others have their own; one that is named has its own limit; those that name nobody share one.
        assert [(await bed.ask(headers=team(name))).status for name in ("b", "rich", "rich")] == [200] * 3
        assert [(await bed.ask()).status for _ in range(2)] == [200, 200]
        await service.until_charged(7)
        assert (await bed.ask()).status == 429

        # A limit on requests of a model is exact, and nobody escapes a limit by asking under another name.
        assert [(await bed.ask("closed", headers=team("rich"))).status for _ in range(3)] == [200, 429, 429]
        # What is tried out refuses nobody.
        assert [(await bed.ask(headers=team("trial"))).status for _ in range(2)] == [200, 200]
        # Neither errors nor refusals are charged.
        await service.until_charged(10)
        bed.one.status = 400
        assert (await bed.ask(headers=team("rich"))).status == 400
        bed.one.status = 200
        service.now += 64
        assert (await bed.ask(headers=team("a"))).status == 200
        await service.until_charged(11)


@EXT_PROC
async def test_who_was_admitted_pays_though_the_route_takes_its_header_away(make_bed: MakeBed) -> None:
    change = "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-team]}}]\n    backendRefs:"
    async with counted(make_bed, route=ROUTE.replace("backendRefs:", change)) as (bed, service):
        for count in (1, 2):
            answer = await bed.ask(headers=team("a"))
            assert (answer.status, "x-team" in answer.json["headers"]) == (200, False)  # type: ignore[operator]
            await service.until_charged(count)
        assert (await bed.ask(headers=team("a"))).status == 429
        assert (await bed.ask(headers=team("b"))).status == 200


@EXT_PROC
async def test_what_is_not_told_is_estimated_and_who_leaves_pays_for_what_it_got(make_bed: MakeBed) -> None:
    async with counted(make_bed) as (bed, service):
        await stream(bed, "weighed")
        assert await service.until_charged(1) == Usage(7, 4, 5)  # 3 of input and 10 of output, of 100
        assert (await bed.ask(headers=team("weighed"))).headers["x-ratelimit-remaining-tokens"] == "87"
        await service.until_charged(2)

        bed.one.gap = 0.2
        await stream(bed, "rich", events=4)
        left = await service.until_charged(3)
        assert left.is_estimated
        assert 0 < left.completion <= 6
        assert left.prompt > 0

        bed.one.content_type = "text/plain"  # no usage is read from it
        await bed.ask(headers=team("rich"))
        untold = await service.until_charged(4)
        assert untold.is_estimated
        assert untold.completion > 0


@EXT_PROC
@pytest.mark.parametrize("fails_closed", [False, True], ids=["open", "closed"])
async def test_counters_that_are_gone_fail_as_the_operator_chose(make_bed: MakeBed, fails_closed: bool) -> None:
    async with counted(make_bed, fails_closed=fails_closed) as (bed, service):
        assert (await bed.ask(headers=team("rich"))).status == 200
        service.counts = False
        answer = await bed.ask(headers=team("rich"))
        if fails_closed:
            assert (answer.status, answer.error["code"]) == (503, "quota_unavailable")
        else:
            assert answer.status == 200
        service.counts = True
        assert (await bed.ask(headers=team("rich"))).status == 200


@EXT_PROC
async def test_whoever_is_not_our_proxy_can_neither_ask_nor_charge(make_bed: MakeBed) -> None:
    codec = Codec()
    call = codec._request()
    for key, value in ((PHASE, END), (SUBJECT, '{"header:x-team": "a"}')):
        call.descriptors.add().entries.add(key=key.encode(), value=value.encode())
    async with counted(make_bed, token="only-envoy", fails_closed=True) as (bed, service):
        assert (await bed.ask(headers=team("a"))).status == 200
        await service.until_charged(1)
        async with grpc.aio.insecure_channel(f"{HOST}:{service.port}") as channel:
            ask = channel.unary_unary(METHOD)
            for given in ((), ((TOKEN, "other"),), ((TOKEN, "only-envo"),)):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await ask(call.SerializeToString(), metadata=given)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await ask(call.SerializeToString(), metadata=((TOKEN, "only-envoy"),))
        assert len(service.usages) == 1
        assert (await bed.ask(headers=team("a"))).headers["x-ratelimit-remaining-tokens"] == "8"


@EXT_PROC
async def test_a_quota_policy_counts_models_by_either_name(make_bed: MakeBed) -> None:
    policy = document(
        "aigateway.envoyproxy.io/v1alpha1",
        "QuotaPolicy",
        "own",
        """
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: own}]
  serviceQuota: {quota: {limit: 1000, duration: 1h}}
  perModelQuotas:
  - modelName: real
    quota:
      mode: Exclusive
      costExpression: input_tokens + output_tokens * 2
      defaultBucket: {limit: 17, duration: 60s}
""",
    )
    rules = (
        "[{matches: [{headers: [{name: x-case, value: ai}]}], backendRefs: [{name: own, modelNameOverride: real}]},"
        " {matches: [{headers: [{name: x-case, value: plain}]}], backendRefs: [{name: own}]}]"
    )
    route = document(AI, "AIGatewayRoute", "ai", f"{{parentRefs: [{{name: gateway}}], rules: {rules}}}")
    async with counted(make_bed) as (bed, service):
        await bed.gateway.apply(ai=route + backend("own", at(bed.one.port)), policy=policy)
        service.quotas.replace(rules_of(bed))
        ai = {"x-case": "ai", **team("rich")}
        assert (await bed.ask("m", headers=ai)).headers["x-ratelimit-limit-tokens"] == "17"
        await service.until_charged(1)
        assert (await bed.ask("m", headers=ai)).status == 429
        plain = {"x-case": "plain", **team("rich")}
        assert (await bed.ask("real", headers=plain)).status == 429
        assert (await bed.ask("other", headers=plain)).headers["x-ratelimit-limit-tokens"] == "1000"
