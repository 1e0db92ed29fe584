"""Keys for a backend that come with the request, on a real Envoy."""

import json

import pytest

from controlplane.options import Delivery, PickerTransport
from gateway.rpc.server import Transport
from tests.contract.envoy.ai_gateway import at, backend, document, key, route, routed, secret
from tests.contract.envoy.conftest import Answer, Bed
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize(
        ("transport", "delivery", "grpc_transport"),
        [pytest.param(PickerTransport.EXT_PROC, Delivery.GRPC, Transport.NGHTTP2, id="once")],
    ),
]


def keyed(bed: Bed, override: str, kind: str = "APIKey", field: str = "apiKey") -> str:
    policy = key("keyed", kind, field, f"credentialOverride: {{{override}}}")
    return route("{name: keyed}") + backend("keyed", at(bed.one.port)) + policy + secret("keyed", apiKey=b"sk-own")


def seen(answer: Answer) -> dict[str, str]:
    headers = answer.json["headers"]
    assert isinstance(headers, dict)
    return headers


async def test_the_requests_key_comes_before_the_policys(bed: Bed) -> None:
    await bed.gateway.apply(ai=keyed(bed, "fromRequestHeaders: {}"))

    given = seen(await routed(bed, headers={"x-aigw-api-key": "sk-given", "authorization": "Bearer other"}))
    own = seen(await routed(bed, headers={"authorization": "Bearer other"}))

    assert (given["authorization"], own["authorization"]) == ("Bearer sk-given", "Bearer sk-own")
    assert "x-aigw-api-key" not in given


async def test_a_header_of_another_name_is_read_and_taken_away(bed: Bed) -> None:
    override = "fromRequestHeaders: {header: X-Tenant-Key}"
    await bed.gateway.apply(ai=keyed(bed, override, "AzureAPIKey", "azureAPIKey"))

    headers = seen(await routed(bed, headers={"x-tenant-key": "sk-given"}))

    assert headers["api-key"] == "sk-given"
    assert "x-tenant-key" not in headers


async def test_without_a_key_a_request_that_must_bring_one_is_refused(bed: Bed) -> None:
    await bed.gateway.apply(ai=keyed(bed, "fromRequestHeaders: {fallbackToConfigured: false}"))

    answer = await routed(bed)

    assert (answer.status, answer.error["code"]) == (401, "credential_missing")
    assert bed.one.requests == []
    assert (await routed(bed, headers={"x-aigw-api-key": "sk-given"})).status == 200


async def test_a_filters_metadata_holds_the_key(bed: Bed) -> None:
    source = "fromDynamicMetadata: {namespace: envoy.lb, key: x-pointsman-pick-id}"
    target = "{group: inference.networking.k8s.io, kind: InferencePool, name: keyed}"
    written = f"type: APIKey, apiKey: {{secretRef: {{name: keyed}}}}, targetRefs: [{target}]"
    version = "aigateway.envoyproxy.io/v1beta1"
    policy = document(version, "BackendSecurityPolicy", "keyed", f"{{{written}, credentialOverride: {{{source}}}}}")
    objects = route("{kind: InferencePool, name: keyed}") + pool("keyed") + policy + secret("keyed", apiKey=b"sk-own")
    await bed.gateway.apply(ai=objects + slice_of("keyed", bed.one.port, {"app": "keyed"}))
    bed.orders.endpoints = [f"{HOST}:{bed.one.port}"]

    assert seen(await routed(bed))["authorization"] == "Bearer pick-1"

    bed.orders.endpoints = None
    assert seen(await routed(bed))["authorization"] == "Bearer sk-own"


async def test_a_changed_body_goes_out_with_the_given_key(bed: Bed) -> None:
    objects = keyed(bed, "fromRequestHeaders: {}").replace(
        "{name: keyed}]}]", "{name: keyed, modelNameOverride: o}]}]", 1
    )
    await bed.gateway.apply(ai=objects)

    answer = await routed(bed, headers={"x-aigw-api-key": "sk-given"})

    assert seen(answer)["authorization"] == "Bearer sk-given"
    assert json.loads(await bed.one.requests[-1].read())["model"] == "o"
