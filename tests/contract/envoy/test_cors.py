"""Pages of other origins: preflights and requests of routes with a CORS filter, on a real Envoy."""

from collections.abc import AsyncIterator

import pytest

from controlplane.options import PickerTransport
from tests.contract.envoy.conftest import ROUTE, Answer, Bed, MakeBed

pytestmark = pytest.mark.envoy

CORS = """
    filters:
    - type: CORS
      cors:
        allowOrigins: [https://app.example.com, "https://*.example.org"]
        allowMethods: [POST, GET]
        allowHeaders: [content-type, authorization]
        exposeHeaders: [x-request-id]
        maxAge: 600
        allowCredentials: true
"""
CHAT = "/v1/chat/completions"
PAGE = "https://app.example.com"


def with_cors(text: str = CORS) -> str:
    return ROUTE.replace("value: open}]}]", f"value: open}}]}}]{text.rstrip()}")


@pytest.fixture
async def open_bed(make_bed: MakeBed) -> AsyncIterator[Bed]:
    async with make_bed(route=with_cors()) as bed:
        bed.pick(bed.one)
        yield bed


async def preflight(bed: Bed, path: str = CHAT, origin: str = PAGE, method: str = "POST") -> Answer:
    sent = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": "x-a"}
    return await bed.ask(method="OPTIONS", path=path, headers=sent)


async def test_a_preflight_of_a_route_by_model_is_answered(open_bed: Bed) -> None:
    answer = await preflight(open_bed)

    assert answer.status == 200
    allowed = {key: value for key, value in answer.headers.items() if key.startswith("access-control")}
    assert allowed == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "content-type, authorization",
        "access-control-expose-headers": "x-request-id",
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://a.example.org", True),
        ("https://a.b.example.org", True),
        ("https://example.org", False),
        ("https://app.example.com.evil.net", False),
        ("http://app.example.com", False),
    ],
)
async def test_only_an_origin_that_is_named_is_allowed(open_bed: Bed, origin: str, is_allowed: bool) -> None:
    answers = [await preflight(open_bed, origin=origin), await open_bed.ask(headers={"origin": origin})]

    assert [answer.status for answer in answers] == [200, 200]
    assert ["access-control-allow-origin" in answer.headers for answer in answers] == [is_allowed] * 2


async def test_answers_and_errors_carry_the_headers(open_bed: Bed) -> None:
    sent = {"origin": PAGE}
    answers = [
        await open_bed.ask(headers=sent),
        await open_bed.ask("unknown", headers=sent),
        await open_bed.ask(method="GET", path="/v1/models", headers=sent),
    ]

    assert [answer.status for answer in answers[:2]] == [200, 404]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [PAGE] * 3
    assert answers[0].headers["access-control-expose-headers"] == "x-request-id"
    assert (await preflight(open_bed, "/v1/models", method="GET")).status == 200


async def test_a_rule_without_the_filter_allows_no_origin(open_bed: Bed) -> None:
    open_bed.pick(open_bed.two)
    answer = await open_bed.ask("closed", headers={"origin": PAGE})

    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
async def test_wildcards_allow_everything(make_bed: MakeBed) -> None:
    text = "\n    filters: [{type: CORS, cors: {allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*']%s}}]\n"
    for credentials in ("", ", allowCredentials: true"):
        async with make_bed(route=with_cors(text % credentials)) as bed:
            answer = await preflight(bed, origin="https://any.where")

            assert answer.headers["access-control-allow-origin"] in ("*", "https://any.where")
            assert answer.headers["access-control-allow-headers"] == "x-a"
            assert "POST" in answer.headers["access-control-allow-methods"]
