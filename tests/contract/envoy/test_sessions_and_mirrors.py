"""Sessions that stay with their endpoint, and copies of requests to pools, on a real Envoy."""

import asyncio

import pytest

from controlplane.options import PickerTransport
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

POOL = "backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]"
SERVICE = "backendRefs: [{name: plain, port: 80}]"


def route(rule: str) -> str:
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: llm}\n"
        f"spec: {{parentRefs: [{{name: gateway}}], rules: [{{{rule}}}]}}\n"
    )


def service(*ports: int) -> str:
    labels = {"kubernetes.io/service-name": "plain"}
    slices = "".join(slice_of("plain", port, labels, index) for index, port in enumerate(ports))
    return slices + "---\napiVersion: v1\nkind: Service\nmetadata: {name: plain}\nspec: {ports: [{port: 80}]}\n"


@pytest.mark.parametrize("backends", [POOL, SERVICE], ids=["pool", "service"])
async def test_a_session_in_a_header_stays_with_its_endpoint(make_bed: MakeBed, backends: str) -> None:
    rule = f"{backends}, sessionPersistence: {{sessionName: x-my-session, type: Header}}"
    async with make_bed(route=route(rule)) as bed:
        await bed.gateway.apply(service=service(bed.one.port, bed.two.port))
        bed.pick(bed.one)
        async with asyncio.timeout(20):
            while (first := await bed.ask()).status != 200:
                await asyncio.sleep(0.1)
        bed.pick(bed.two if first.server == "one" else bed.one)

        token = {"x-my-session": first.headers["x-my-session"]}
        served = {(await bed.ask(headers=token)).server for _ in range(10)}

        assert served == {first.server}


@pytest.mark.parametrize(
    ("cookie", "age"), [("", None), (", absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}", "Max-Age=3600")]
)
async def test_a_session_in_a_cookie_lives_as_long_as_it_says(make_bed: MakeBed, cookie: str, age: str | None) -> None:
    async with make_bed(route=route(f"{POOL}, sessionPersistence: {{sessionName: mine{cookie}}}")) as bed:
        bed.pick(bed.one)
        first = await bed.ask()
        bed.pick(bed.two)

        written = first.headers["set-cookie"]
        assert written.startswith("mine=")
        assert (age in written) if age else ("Max-Age" not in written)
        again = await bed.ask(headers={"cookie": written.partition(";")[0]})
        assert (again.server, (await bed.ask()).server) == ("one", "two")


async def test_a_session_whose_endpoint_is_gone_gets_another(bed: Bed) -> None:
    await bed.gateway.apply(route=route(f"{POOL}, sessionPersistence: {{sessionName: x-s, type: Header}}"))
    bed.pick(bed.one)
    async with asyncio.timeout(20):
        while "x-s" not in (first := await bed.ask()).headers:
            await asyncio.sleep(0.1)
    bed.pick(bed.two)
    await bed.gateway.apply(
        endpoints=bed.gateway.files["endpoints"].replace(f"port: {bed.one.port}", f"port: {bed.dead}")
    )

    async with asyncio.timeout(20):
        while (await bed.ask(headers={"x-s": first.headers["x-s"]})).server != "two":
            await asyncio.sleep(0.1)


async def test_copies_go_to_a_pool_and_ask_no_picker(make_bed: MakeBed) -> None:
    copy = "{group: inference.networking.k8s.io, kind: InferencePool, name: copies}"
    rule = f"{POOL}, filters: [{{type: RequestMirror, requestMirror: {{backendRef: {copy}}}}}]"
    async with make_bed(route=route(rule), copies=pool("copies", "FailClose")) as bed:
        await bed.gateway.apply(copied=slice_of("copies", bed.two.port, {"app": "copies"}))
        bed.pick(bed.one)

        answers = [await bed.ask() for _ in range(5)]

        assert {answer.server for answer in answers} == {"one"}
        async with asyncio.timeout(20):
            while not bed.two.requests:
                await bed.ask()
                await asyncio.sleep(0.1)
        assert set(bed.orders.pools) == {"default/open"}
