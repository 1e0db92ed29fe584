"""A SecurityPolicy is enforced by a real Envoy: keys, users, tokens, rules, for a Gateway or for single routes."""

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from controlplane.options import PickerTransport
from gateway.kube.resolution.tenants import tenants
from gateway.tenancy.identity import Access
from gateway.tenancy.salting import Salter
from gateway.wire import protocol
from tests.conftest import free_ports
from tests.contract.envoy.access import Issuer, api_keys, bearer, policy, secret
from tests.contract.envoy.ai_gateway import at, backend, route, routed
from tests.contract.envoy.conftest import Bed, MakeBed, raw
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import pool, slice_of
from tests.unit.controlplane.manifest_texts import manifests

pytestmark = pytest.mark.envoy
one_door = pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])

MESSAGES = "/v1/messages"
STREAMED = b'{"model": "open", "stream": true}'
SPLIT_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /v1}, headers: [{name: X-Gateway-Model-Name, value: %s}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: %s}]
"""


async def statuses(bed: Bed, *sent: dict[str, str]) -> list[int]:
    return [(await bed.ask(headers=headers)).status for headers in sent]


async def test_only_a_key_of_the_secret_passes_the_gateway(make_bed: MakeBed) -> None:
    async with make_bed(policy=policy(api_keys()), secret=secret(alice="Key-a", bob="Key-b")) as bed:
        bed.pick(bed.one)
        refused = [{}, bearer("Key-c"), bearer("key-a"), bearer(" Key-a"), bearer("Key-a Key-b"), {"x-api-key": ""},
                   {"cookie": "key=Key-c"}]  # fmt: skip
        assert await statuses(bed, *map(dict, refused)) == [401] * len(refused)
        assert await statuses(bed, {"x-api-key": "Key-a"}, {"cookie": "key=Key-b"}) == [200, 200]
        assert (await bed.ask(path="/v1/chat/completions?key=Key-a")).status == 200

        claimed = {protocol.CLIENT_ID: "bob", "X-Gateway_Client-Id": "bob", "x-client": "bob", "x-api-key": "Key-b"}
        answer = await bed.ask(headers={**bearer("Key-a"), **claimed})
        seen = answer.json["headers"]
        assert isinstance(seen, dict)
        assert (seen[protocol.CLIENT_ID], seen["x-client"], "x-gateway_client-id" in seen) == ("alice", "alice", False)
        assert not {"authorization", "x-api-key"} & seen.keys()
        assert not [name for name in seen if "check" in name]
        assert "Key-" not in str(seen)

        paths = [
            "/v1/models",
            "/v1/models/open",
            "/health",
            "/nowhere",
            "//v1/models",
            "/v1/%2e%2e/health",
            "/v1/./models",
        ]
        assert [(await bed.ask(method="GET", path=path)).status for path in paths] == [401] * len(paths)
        assert (await bed.ask("nowhere")).error["code"] == "invalid_api_key"
        theirs = (await bed.ask(path=MESSAGES)).json
        assert (theirs["type"], theirs["error"]["type"]) == ("error", "authentication_error")  # type: ignore[index]
        assert len(bed.orders.headers) == 4  # nobody else was picked for

        bed.one.goes_on.clear()
        streamed = asyncio.create_task(bed.ask(body=STREAMED, headers=bearer("Key-a")))
        async with asyncio.timeout(20):
            while len(bed.orders.headers) < 5:
                await asyncio.sleep(0.05)
        await bed.gateway.apply(secret=secret(bob="Key-b", carol="Key-c"))
        assert await statuses(bed, dict(bearer("Key-a")), dict(bearer("Key-b")), dict(bearer("Key-c"))) == [
            401,
            200,
            200,
        ]
        bed.one.goes_on.set()
        assert (await streamed).body.endswith(b"data: [DONE]\n\n")  # an answer that has begun goes on
        async with bed.gateway.session.get(f"http://{HOST}:{bed.gateway.admin}/config_dump?include_eds") as dump:
            text = await dump.text()
        assert "ApiKeyAuthPerRoute" in text
        assert "Key-" not in text
        assert "Key-" not in (bed.gateway.folder / "envoy.log").read_text()


@one_door
async def test_a_smuggled_identity_and_a_trailer_change_nothing(make_bed: MakeBed) -> None:
    async with make_bed(policy=policy(api_keys()), secret=secret(alice="Key-a")) as bed:
        bed.pick(bed.one)
        body = b'{"model": "open"}'
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"x-gateway-client-id: root\r\nx-gateway-client-id: bob\r\ntransfer-encoding: chunked\r\n"
            b"connection: close\r\n"
        )
        chunk = b"%x\r\n%s\r\n0\r\nx-gateway-client-id: eve\r\nauthorization: Bearer Key-a\r\n\r\n" % (len(body), body)
        late = await raw(bed, head + b"\r\n" + chunk)
        two = await raw(bed, head + b"authorization: Bearer Key-a\r\nauthorization: Bearer Key-b\r\n\r\n" + chunk)
        known = await raw(bed, head + b"authorization: Bearer Key-a\r\n\r\n" + chunk)

    assert (late[0], two[0], known[0]) == (401, 401, 200)
    assert b'"x-gateway-client-id": "alice"' in known[1]


async def test_a_key_counts_on_its_own_route_alone(make_bed: MakeBed) -> None:
    routes = "---".join(SPLIT_ROUTE % (name, name, name) for name in ("open", "closed"))
    policies = "".join(policy(api_keys(name), name, "HTTPRoute", name) for name in ("open", "closed"))
    secrets = secret("open", alice="Key-a") + secret("closed", bob="Key-b")
    async with make_bed(route=routes, policy=policies, secret=secrets) as bed:
        bed.pick(bed.one)
        asked = [(model, key) for model in ("open", "closed") for key in ("Key-a", "Key-b", "")]
        found = [(await bed.ask(model, headers=bearer(key) if key else {})).status for model, key in asked]
        listed = await bed.ask(method="GET", path="/v1/models", headers=bearer("Key-a"))

        assert found == [200, 401, 401, 401, 200, 401]
        assert (await bed.ask("unknown", headers=bearer("Key-a"))).status == 404
        assert listed.status == 404  # which models there are is no stranger's business

        await bed.gateway.apply(policy=policies.replace("name: closed}]", "name: gone}]"))
        assert [(await bed.ask("closed")).status, (await bed.ask("open")).status] == [200, 401]


RULES = """
  authorization:
    rules:
    - {name: staff, action: Allow, principal: {jwt: {provider: ours, claims: [{name: org.unit, values: [lab, ops]}]}}}
    - {name: scoped, action: Allow, principal: {jwt: {provider: ours, scopes: [chat, models]}}}
    - name: listed
      action: Allow
      principal: {jwt: {provider: ours, claims: [{name: groups, valueType: StringArray, values: [a]}]}}
    - {name: away, action: Allow, principal: {clientCIDRs: [10.0.0.0/8]}}
    - name: named
      action: Allow
      operation: {methods: [POST]}
      principal: {clientCIDRs: [127.0.0.0/8], headers: [{name: x-team, values: [red, blue]}]}
"""


def providers(keys: str) -> str:
    return (
        f"  jwt:\n    providers:\n    - name: ours\n      issuer: https://issuer\n      audiences: [gateway]\n"
        "      claimToHeaders: [{header: x-subject, claim: sub}, {header: x-gateway-client-id, claim: team}]\n"
        f"      {keys}\n"
    )


@one_door
async def test_tokens_and_rules_decide(make_bed: MakeBed) -> None:
    issuer, stranger = Issuer(), Issuer()
    spec = providers("localJWKS: {type: ValueRef, valueRef: {kind: ConfigMap, name: keys}}")
    keys = f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: keys}}\ndata: {{jwks: '{issuer.key_set}'}}\n"
    async with make_bed(policy=policy(spec + RULES), keys=keys) as bed:
        bed.pick(bed.one)
        good = issuer.token(org={"unit": "lab"}, team="red")
        refused = [
            {},
            bearer("x"),
            bearer(stranger.token(org={"unit": "lab"})),
            bearer(issuer.token("none", org={"unit": "lab"})),
            bearer(issuer.token(exp=1_000_000_000, org={"unit": "lab"})),
            bearer(issuer.token(iss="https://other", org={"unit": "lab"})),
            bearer(good[:-4] + "AAAA"),
        ]
        assert await statuses(bed, *map(dict, refused)) == [401] * len(refused)
        denied = [
            bearer(issuer.token(aud="other", org={"unit": "lab"})),
            bearer(issuer.token(org={"unit": "sales"}, scope="chat", groups=["b"])),
            bearer(issuer.token(org="lab")),
        ]
        assert await statuses(bed, *map(dict, denied)) == [403] * len(denied)
        allowed = [
            bearer(good),
            bearer(issuer.token(scope="models chat")),
            bearer(issuer.token(groups=["c", "a"])),
            {**bearer(issuer.token()), "x-team": "blue"},
        ]
        assert await statuses(bed, *map(dict, allowed)) == [200] * len(allowed)
        seen = (await bed.ask(headers={**bearer(good), "x-subject": "root"})).json["headers"]
        assert isinstance(seen, dict)
        assert (seen["x-subject"], seen[protocol.CLIENT_ID], "authorization" in seen) == ("alice", "red", False)
        assert (await bed.ask(headers=denied[1])).error["code"] == "access_denied"


@one_door
async def test_fetched_keys_verify_until_they_are_old_and_then_nothing_does(make_bed: MakeBed) -> None:
    issuer = Issuer()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=issuer.key_set, content_type="application/json")

    app = web.Application()
    app.router.add_get("/keys", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    port = runner.addresses[0][1]
    spec = providers(f"remoteJWKS: {{uri: 'http://{HOST}:{port}/keys', cacheDuration: 3s}}")
    try:
        async with make_bed(policy=policy(spec)) as bed:
            bed.pick(bed.one)
            sent = dict(bearer(issuer.token()))
            async with asyncio.timeout(20):
                while await statuses(bed, sent) != [200]:
                    await asyncio.sleep(0.1)
            await runner.cleanup()
            assert await statuses(bed, sent) == [200]
            async with asyncio.timeout(20):
                while await statuses(bed, sent) != [401]:
                    await asyncio.sleep(0.2)
            assert "Jwks" in str((await bed.ask(headers=sent)).error["message"])
    finally:
        await runner.cleanup()


@one_door
async def test_users_with_passwords_pass_and_a_preflight_needs_none(make_bed: MakeBed) -> None:
    hashed = base64.b64encode(hashlib.sha1(b"pass", usedforsecurity=False).digest()).decode()
    users = secret("users", **{".htpasswd": f"# people\nann:{{SHA}}{hashed}\n"})
    cors = "  cors: {allowOrigins: [https://a.org], allowMethods: [POST], maxAge: 10m}\n"
    spec = f"  basicAuth: {{users: {{name: users}}}}\n{cors}"
    async with make_bed(policy=policy(spec), users=users) as bed:
        bed.pick(bed.one)
        given = {word: {"authorization": f"Basic {base64.b64encode(word.encode()).decode()}"} for word in
                 ("ann:pass", "ann:Pass", "bob:pass", "nobody:")}  # fmt: skip
        assert await statuses(bed, {}, *given.values()) == [401, 200, 401, 401, 401]
        answer = await bed.ask(headers={**given["ann:pass"], "origin": "https://a.org"})
        seen = answer.json["headers"]
        assert isinstance(seen, dict)
        assert (seen[protocol.CLIENT_ID], "authorization" in seen) == ("ann", False)
        assert answer.headers["access-control-allow-origin"] == "https://a.org"
        asked = {"origin": "https://a.org", "access-control-request-method": "POST"}
        for path in ("/v1/chat/completions", "/v1/models"):
            preflight = await bed.ask(method="OPTIONS", path=path, headers=asked)
            assert (preflight.status, preflight.headers["access-control-max-age"]) == (200, "600")
        plain = await bed.ask(method="OPTIONS", path="/v1/models")
        assert plain.status == 401


TENANTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tenants, labels: {pointsman.dev/tenants: "true"}}
data:
  tenants: |
    tenants:
    - {name: team-a, clients: [alice], models: [open]}
    - {name: team, clients: [bob], objectives: [low]}
"""


async def test_a_tenant_follows_from_the_clients_key_whatever_the_client_says(
    make_bed: MakeBed, tmp_path: Path
) -> None:
    found = tenants(manifests(tmp_path / "read", TENANTS))
    access = Access(None, found, Salter(b"s"))
    keys = secret(alice="Key-a", bob="Key-b", carol="Key-c")
    async with make_bed(access=access, tenants=TENANTS, policy=policy(api_keys()), secret=keys) as bed:
        bed.pick(bed.one)
        untrusted = {
            protocol.FAIRNESS_ID: "random",
            protocol.OBJECTIVE: "urgent",
            protocol.TENANT: "team-a",
            "x-gateway_tenant": "team-a",
            protocol.ALLOWED_MODELS: "*",
            "x-llm-d-inference-fairness-id": "other",
        }
        mine = await bed.ask("closed", headers={**bearer("Key-b"), **untrusted})
        seen = mine.json["headers"]
        assert isinstance(seen, dict)
        assert [seen[name] for name in (protocol.TENANT, protocol.FAIRNESS_ID, protocol.OBJECTIVE)] == [
            "team",
            "team",
            "low",
        ]
        assert not {protocol.ALLOWED_MODELS, "x-gateway_tenant", "x-llm-d-inference-fairness-id"} & seen.keys()

        asked = [("open", "Key-a"), ("closed", "Key-a"), ("nowhere", "Key-a"), ("open", "Key-c"), ("open", "Key-x")]
        answers = [await bed.ask(model, headers=bearer(key)) for model, key in asked]
        assert [answer.status for answer in answers] == [200, 404, 404, 403, 401]
        assert answers[1].body.replace(b"closed", b"nowhere") == answers[2].body
        messages = [await bed.ask(model, path=MESSAGES, headers=bearer("Key-a")) for model in ("closed", "nowhere")]
        errors = [dict(answer.json["error"]) for answer in messages]  # type: ignore[call-overload]
        assert errors[0] == {**errors[1], "message": "The model 'closed' does not exist."}


LIMITED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tenants, labels: {pointsman.dev/tenants: "true"}}
data:
  tenants: |
    tenants:
    - {name: free, clients: [alice]}
    - {name: kept, clients: [bob], overflow: false, priorityCeiling: 3}
"""


async def test_a_tenant_may_be_kept_from_providers_and_a_thousand_ids_of_a_client_are_one(
    make_bed: MakeBed, tmp_path: Path
) -> None:
    access = Access(None, tenants(manifests(tmp_path / "read", LIMITED)), Salter(b"s"))
    keys = secret(alice="Key-a", bob="Key-b")
    async with make_bed(access=access, tenants=LIMITED, policy=policy(api_keys()), secret=keys) as bed:
        (dead,) = free_ports(1)
        single = route("{kind: InferencePool, name: single}", "{name: external, priority: 1}")
        objects = pool("single", "FailOpen") + slice_of("single", dead, {"app": "single"})
        await bed.gateway.apply(ai=single + objects + backend("external", at(bed.two.port)))
        bed.pick(dead)
        free = await routed(bed, headers=bearer("Key-a"))
        kept = await routed(bed, headers={**bearer("Key-b"), protocol.OVERFLOW: "allowed"})
        assert (free.status, free.server, kept.status) == (200, "two", 503)
        assert bed.orders.headers[-1][protocol.PRIORITY_CEILING] == "3"

        bed.pick(bed.one)
        before = len(bed.orders.headers)
        waiting = asyncio.Semaphore(50)

        async def random(number: int) -> int:
            async with waiting:
                said = {protocol.FAIRNESS_ID: f"id-{number}", "x-llm-d-inference-fairness-id": f"id-{number}"}
                return (await bed.ask(headers={**bearer("Key-a"), **said})).status

        assert set(await asyncio.gather(*map(random, range(1000)))) == {200}
        seen = bed.orders.headers[before:]
        assert len(seen) == 1000
        assert {headers[protocol.FAIRNESS_ID] for headers in seen} == {"free"}
