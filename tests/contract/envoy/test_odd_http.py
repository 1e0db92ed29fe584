"""Bytes that are no HTTP, upgrades, HTTP/1.0, trailers, hostile names: refused in shape, or served."""

import json

import pytest

from controlplane.options import Options
from tests.contract.envoy.conftest import Bed, MakeBed, raw

pytestmark = pytest.mark.envoy


async def test_bytes_that_are_no_http_get_an_error_in_shape(bed: Bed) -> None:
    for sent, status in (
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 80_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400),
    ):
        answered, body = await raw(bed, sent)

        assert answered == status, sent[:60]
        assert json.loads(body)["error"]["code"] == "invalid_request"
    answered, body = await raw(bed, b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert (answered, json.loads(body)["error"]["code"]) == (404, "route_not_found")
    assert bed.orders.pools == []


@pytest.mark.parametrize("token", [b"TLS/1.2", b"h2c", b"websocket"])
async def test_an_upgrade_is_ignored(bed: Bed, token: bytes) -> None:
    bed.pick(bed.one)
    body = b'{"model": "open"}'
    head = b"POST /v1/completions HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: " + token
    head += b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)

    assert (await raw(bed, head + body))[0] == 200


async def test_http_1_0_is_served_on_loopback_unless_it_is_switched_off(make_bed: MakeBed) -> None:
    request = b"GET / HTTP/1.0\r\nhost: a\r\n\r\n"
    async with make_bed() as bed:
        answered, body = await raw(bed, request)
        assert (answered, json.loads(body)["error"]["code"]) == (404, "route_not_found")
    async with make_bed(Options(http10=False)) as bed:
        answered, body = await raw(bed, request)
        assert (answered, json.loads(body)["error"]["code"]) == (426, "invalid_request")


@pytest.mark.parametrize(
    "model",
    ['a"b\\c', "mödel-日本-😀", "%REQ(x)%", "m" * 1000, "é" * 1000, "a\r\nx-gateway-model-name: open", "a\0b", "a\x01"],
)
async def test_a_hostile_model_name_stays_inside_its_error(bed: Bed, model: str) -> None:
    answer = await bed.ask(model)

    assert answer.status in (400, 404)
    assert answer.error["param"] == "model"
    if answer.status == 404:
        assert answer.error["message"] == f"The model '{model}' does not exist."
    assert bed.one.requests == bed.two.requests == []


async def test_a_chunked_body_with_trailers_is_routed_and_its_trailers_steer_nothing(bed: Bed) -> None:
    bed.pick(bed.one)
    body = b'{"model": "open"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = (
        b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json; charset=utf-8\r\n"
        b"connection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-gateway-model-name\r\n\r\n"
    )
    status, _ = await raw(bed, head + chunks + b"0\r\nx-gateway-model-name: closed\r\n\r\n")

    assert status == 200
    assert bed.orders.pools == ["default/open"]
    assert len(bed.one.requests) == 1
