"""Which picker is asked, through which door, and what is lifted from the body without a router."""

import shutil
import subprocess
from pathlib import Path

import pytest

from controlplane.options import PickerTransport
from gateway.extproc.protocol.messages import ImmediateReply
from gateway.rpc.server import Transport
from tests.conftest import free_ports, required
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST, start_picker
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = [pytest.mark.envoy, pytest.mark.grpcio]


async def test_the_model_list_is_asked_of_the_picker_for_all_pools(bed: Bed) -> None:
    listed = b'{"object": "list", "data": []}'
    bed.orders.reply = ImmediateReply(200, (("content-type", "application/json"),), listed)

    answer = await bed.ask(path="/v1/models", method="GET")

    assert (answer.status, answer.body) == (200, listed)
    assert bed.orders.pools == ["default/closed,default/open"]


async def test_without_a_picker_the_list_has_the_models_that_rules_name_for_pools_that_open(bed: Bed) -> None:
    await bed.picker.stop()

    answer = await bed.ask(path="/v1/models", method="GET")
    one = await bed.ask(path="/v1/models/open", method="GET")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"object": "list", "data": [{"id": "open", "object": "model"}]}
    assert (one.status, one.error["code"]) == (503, "picker_unavailable")


async def test_without_a_picker_the_list_has_the_adapters_of_base_models_that_rules_name(make_bed: MakeBed) -> None:
    async with make_bed(route=BY_BASE_MODEL) as bed:
        await bed.picker.stop()

        answer = await bed.ask(path="/v1/models", method="GET")

    assert [item["id"] for item in answer.json["data"]] == ["Org/base.1", "one", "two"]  # type: ignore[attr-defined]


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
