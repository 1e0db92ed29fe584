"""What reaches a backend on a real Envoy: its key, changed headers and bodies, TLS to a server that was verified."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.options import PickerTransport
from tests.certificates import self_signed
from tests.contract.envoy.ai_gateway import at, backend, document, key, route, routed, secret
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST, ModelServer
from tests.contract.envoy.gateway_under_test import pool

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

CHANGES = """modelNameOverride: "gpt \\"5\\"",
headerMutation: {set: [{name: x-team, value: "100% ours"}], remove: [x-secret]},
bodyMutation: {set: [{path: max_tokens, value: "5"}, {path: metadata, value: '{"a": [1, "}"]}'}], remove: [user]}"""


async def sent_to(server: ModelServer) -> tuple[dict[str, str], object]:
    """The headers and the body of the last request."""
    request = server.requests[-1]
    return {name.lower(): value for name, value in request.headers.items()}, json.loads(await request.read())


async def test_a_request_carries_the_key_of_its_backend_and_not_the_clients(bed: Bed) -> None:
    objects = route("{name: keyed}") + backend("keyed", at(bed.one.port)) + key("keyed")
    await bed.gateway.apply(ai=objects + secret("keyed", apiKey=b"sk-1\n"))

    answer = await routed(bed, headers={"authorization": "Bearer the client's", "x-pointsman-key-0": "spoofed"})

    assert answer.status == 200
    headers, body = await sent_to(bed.one)
    assert headers["authorization"] == "Bearer sk-1"
    assert not [name for name in headers if name.startswith("x-pointsman-")]
    assert body == {"model": "m", "prompt": "x"}


@pytest.mark.parametrize(
    ("kind", "field", "header"),
    [("AzureAPIKey", "azureAPIKey", "api-key"), ("AnthropicAPIKey", "anthropicAPIKey", "x-api-key")],
)
async def test_a_key_has_the_header_of_its_type(bed: Bed, kind: str, field: str, header: str) -> None:
    objects = route("{name: keyed}") + backend("keyed", at(bed.one.port)) + key("keyed", kind, field)
    await bed.gateway.apply(ai=objects + secret("keyed", apiKey=b"sk-1"))

    assert (await routed(bed)).status == 200
    headers, _ = await sent_to(bed.one)
    assert headers[header] == "sk-1"


async def test_a_key_that_changes_is_taken_over_and_envoy_shows_it_nowhere(bed: Bed) -> None:
    objects = route("{name: keyed}") + backend("keyed", at(bed.one.port)) + key("keyed")
    await bed.gateway.apply(ai=objects + secret("keyed", apiKey=b"sk-first"))
    await routed(bed)
    await bed.gateway.apply(ai=objects + secret("keyed", apiKey=b"sk-second"))

    async with asyncio.timeout(10):
        while (await sent_to(bed.one))[0]["authorization"] != "Bearer sk-second":
            await routed(bed)
    async with bed.gateway.session.get(f"http://{HOST}:{bed.gateway.admin}/config_dump?include_eds") as answer:
        shown = await answer.text()
    assert "key_default_keyed_authorization" in shown
    assert [text for text in ("sk-second", b64encode(b"Bearer sk-second").decode()) if text in shown] == []


@pytest.mark.parametrize("broken", [secret("keyed", other=b"x"), "", secret("keyed", apiKey=b"sk-1\r\nx-admin: true")])
async def test_without_its_key_nothing_is_sent(bed: Bed, broken: str) -> None:
    await bed.gateway.apply(ai=route("{name: keyed}") + backend("keyed", at(bed.one.port)) + key("keyed") + broken)

    answer = await routed(bed)

    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert bed.one.requests == []


async def test_headers_and_members_of_the_body_are_changed(bed: Bed) -> None:
    await bed.gateway.apply(ai=route(f"{{name: changed, {CHANGES}}}") + backend("changed", at(bed.one.port)))
    sent = {"model": "m", "user": "u", "messages": [{"content": 'a "model": "x" \\ } ] {'}], "max_tokens": 1, "n": None}

    answer = await routed(bed, headers={"x-secret": "s", "x-team": "t"}, body=json.dumps(sent).encode())

    assert answer.status == 200
    headers, body = await sent_to(bed.one)
    assert headers["x-team"] == "100% ours"
    assert "x-secret" not in headers
    kept = {"messages": sent["messages"], "n": None}
    assert body == {**kept, "model": 'gpt "5"', "max_tokens": 5, "metadata": {"a": [1, "}"]}}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m"}',
        b' \n{ "model" : "m" , "a" : {"b": [1, {"c": "\\"]}"}]} , "d" : -1.5e3 , "e" : true } ',
        b'{"model":"m","text":"' + b"x" * 3_000_000 + b'","ids":[' + b"1," * 500_000 + b"1]}",
    ],
    ids=["one", "spaces", "large"],
)
async def test_whatever_the_shape_of_a_body_its_other_members_stay(bed: Bed, body: bytes) -> None:
    await bed.gateway.apply(ai=route("{name: named, modelNameOverride: other}") + backend("named", at(bed.one.port)))

    assert (await routed(bed, body=body)).status == 200
    _, seen = await sent_to(bed.one)
    assert seen == {**json.loads(body), "model": "other"}


async def test_a_body_that_is_no_object_reaches_the_backend_as_it_is(bed: Bed) -> None:
    await bed.gateway.apply(ai=route("{name: named, modelNameOverride: other}") + backend("named", at(bed.one.port)))

    answer = await routed(bed, headers={"content-type": "text/plain"}, body=b"[1, 2]")

    assert answer.status == 200, answer.body
    assert await bed.one.requests[-1].text() == "[1, 2]"


async def test_the_prefix_of_a_schema_stands_instead_of_v1(bed: Bed) -> None:
    written = backend("prefixed", at(bed.one.port)).replace("name: OpenAI", "name: OpenAI, prefix: v1beta/openai")
    await bed.gateway.apply(ai=route("{name: prefixed}") + written)

    answer = await routed(bed, path="/v1/chat/completions?a=1")

    assert answer.json["path"] == "/v1beta/openai/chat/completions?a=1"


async def test_a_backend_with_a_host_name_is_asked_under_it(bed: Bed) -> None:
    bed.gateway.addresses["models.example"] = (HOST,)
    named = f"fqdn: {{hostname: models.example, port: {bed.one.port}}}"
    await bed.gateway.apply(ai=route("{name: named}") + backend("named", named))

    assert (await routed(bed)).status == 200
    assert (await sent_to(bed.one))[0]["host"] == "models.example"


async def test_another_schema_is_refused_by_name(bed: Bed) -> None:
    written = backend("bedrock", at(bed.one.port)).replace("name: OpenAI", "name: AWSBedrock")
    await bed.gateway.apply(ai=route("{name: bedrock}") + written)

    assert (await routed(bed)).status == 500
    assert bed.one.requests == []


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[ModelServer, str]]:
    """A model server for `models.example` behind TLS, and its authority as text."""
    chain, private = self_signed(tmp_path, "models.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    async with ModelServer("secure", tls=context).serving() as server:
        yield server, chain.read_text()


def authority(text: str) -> str:
    indented = text.replace("\n", "\n    ")
    return f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata:\n  ca.crt: |\n    {indented}\n"


def tls_policy(hostname: str) -> str:
    target = "{group: gateway.envoyproxy.io, kind: Backend, name: tls}"
    validation = f"{{hostname: {hostname}, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}"
    spec = f"{{targetRefs: [{target}], validation: {validation}}}"
    return document("gateway.networking.k8s.io/v1", "BackendTLSPolicy", "tls", spec)


@pytest.mark.parametrize(("hostname", "status"), [("models.example", 200), ("other.example", 503)])
async def test_a_backend_is_verified_by_authority_and_name(
    bed: Bed, secure: tuple[ModelServer, str], hostname: str, status: int
) -> None:
    server, text = secure
    objects = route("{name: tls}") + backend("tls", at(server.port)) + authority(text) + tls_policy(hostname)
    await bed.gateway.apply(ai=objects)

    assert (await routed(bed)).status == status
    assert len(server.requests) == (1 if status == 200 else 0)


async def test_without_its_authority_nothing_is_sent(bed: Bed, secure: tuple[ModelServer, str]) -> None:
    server, _ = secure
    await bed.gateway.apply(ai=route("{name: tls}") + backend("tls", at(server.port)) + tls_policy("models.example"))

    assert (await routed(bed)).status == 500
    assert server.requests == []


async def test_a_backend_may_order_its_own_tls(bed: Bed, secure: tuple[ModelServer, str]) -> None:
    server, _ = secure
    skipping = "{insecureSkipVerify: true, sni: models.example}"
    await bed.gateway.apply(ai=route("{name: tls}") + backend("tls", at(server.port), tls=skipping))

    assert (await routed(bed)).json["server"] == "secure"


POOL_OF_BACKENDS = """---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: mixed}
spec: {selector: {app: mixed}, extensionRef: {name: epp}}
"""


async def test_each_endpoint_of_a_pool_of_backends_has_its_own_key_host_tls_and_model(
    bed: Bed, secure: tuple[ModelServer, str]
) -> None:
    server, text = secure
    bed.gateway.addresses["models.example"] = (HOST,)
    label = "metadata: {name: %s, labels: {app: mixed}}"
    change = """bodyMutation: {set: [{path: model, value: '"theirs"'}]}"""
    plain = backend("plain", at(bed.one.port)).replace("metadata: {name: plain}", label % "plain", 1)
    named = f"fqdn: {{hostname: models.example, port: {server.port}}}"
    other = backend("tls", named, change).replace("metadata: {name: tls}", label % "tls", 1)
    keys = key("plain") + secret("plain", apiKey=b"sk-plain") + key("tls") + secret("tls", apiKey=b"sk-tls")
    objects = POOL_OF_BACKENDS + plain + other + keys + authority(text) + tls_policy("models.example")
    await bed.gateway.apply(ai=route("{kind: InferencePool, name: mixed}") + objects)

    bed.pick(bed.one)
    assert (await routed(bed)).server == "one"
    headers, body = await sent_to(bed.one)
    assert (headers["authorization"], body) == ("Bearer sk-plain", {"model": "m", "prompt": "x"})

    bed.pick(server)
    answer = await routed(bed)
    assert (answer.status, answer.server) == (200, "secure")
    headers, body = await sent_to(server)
    assert (headers["authorization"], headers["host"]) == ("Bearer sk-tls", "models.example")
    assert body == {"model": "theirs", "prompt": "x"}


@pytest.mark.parametrize("ordered", ["annotation", "policy"])
async def test_a_pool_whose_servers_want_a_key_gets_it(make_bed: MakeBed, ordered: str) -> None:
    target = "{group: inference.networking.k8s.io, kind: InferencePool, name: open}"
    spec = f"{{type: APIKey, apiKey: {{secretRef: {{name: servers}}}}, targetRefs: [{target}]}}"
    policy = document("aigateway.envoyproxy.io/v1beta1", "BackendSecurityPolicy", "servers", spec)
    notes = "pointsman.dev/api-key-secret: servers" if ordered == "annotation" else ""
    objects = (policy if ordered == "policy" else "") + secret("servers", apiKey=b"sk-servers")
    async with make_bed(pools=pool("open", notes=notes) + pool("closed"), keys=objects) as bed:
        bed.pick(bed.one)

        assert (await bed.ask("open", headers={"authorization": "Bearer client"})).status == 200
        assert (await sent_to(bed.one))[0]["authorization"] == "Bearer sk-servers"
        assert (await bed.ask("closed", headers={"authorization": "Bearer client"})).status == 200
        assert (await sent_to(bed.one))[0]["authorization"] == "Bearer client"
