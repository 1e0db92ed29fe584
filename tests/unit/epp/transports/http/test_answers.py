"""Verdicts as bytes."""

import orjson
import pytest

from epp.domain import EndpointId, Pick, PickId, PoolId, Reply
from epp.transports.http import answers as http_answers
from gateway.wire import refusals
from gateway.wire.errors import ErrorCode, Rejection

TARGETS = (EndpointId("10.0.0.1:8000"), EndpointId("[::1]:8000"))


def pick(**fields: object) -> Pick:
    return Pick(PickId("epp-1"), PoolId("default/qwen"), TARGETS, **fields)  # type: ignore[arg-type]


def lines(answer: bytes) -> list[str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b""
    return head.decode().split("\r\n")


def test_a_pick_is_an_ordered_list_and_its_id() -> None:
    written = lines(http_answers.picked(pick(), is_last=False, base_models=None))
    assert written[0] == "HTTP/1.1 200 OK"
    assert "x-gateway-destination-endpoint: 10.0.0.1:8000,[::1]:8000" in written
    assert "x-pointsman-pick-id: epp-1" in written
    assert "content-length: 0" in written
    assert "connection: close" not in written


def test_headers_for_the_model_server_and_explanations_travel_along() -> None:
    written = lines(
        http_answers.picked(
            pick(headers=(("x-prefiller-host-port", "10.0.0.3:8000"),), explain=(("x-pointsman-margin", "0.5"),)),
            is_last=True,
            base_models=None,
        )
    )
    assert {"x-prefiller-host-port: 10.0.0.3:8000", "x-pointsman-margin: 0.5", "connection: close"} <= set(written)


def test_the_body_based_routers_work_is_done_only_on_request() -> None:
    chosen = pick(model="adapter")
    plain = lines(http_answers.picked(chosen, is_last=False, base_models=None))
    assert not any("model-name" in line for line in plain)
    written = lines(http_answers.picked(chosen, is_last=False, base_models={"adapter": "base"}))
    assert {"x-gateway-model-name: adapter", "x-gateway-base-model-name: base"} <= set(written)


def test_an_unknown_model_has_no_base() -> None:
    written = lines(http_answers.picked(pick(model="größer"), is_last=False, base_models={}))
    assert "x-gateway-model-name: größer" in written
    assert not any(line.startswith("x-gateway-base-model-name") for line in written)


@pytest.mark.parametrize("model", ["open ", " open", "  "])
def test_a_model_that_no_header_can_carry_is_left_out(model: str) -> None:
    """Envoy trims what it reads, and would choose the route anew by another model's name."""
    chosen = pick(model=model)

    assert http_answers.objection(chosen, wants_model_headers=True) is None
    written = lines(http_answers.picked(chosen, is_last=False, base_models={model: "base"}))
    assert not any(line.startswith(("x-gateway-model-name", "x-gateway-base-model-name")) for line in written)


def test_a_model_name_that_would_split_the_answer_is_refused() -> None:
    refusal = http_answers.objection(pick(model="a\r\nx-evil: 1"), wants_model_headers=True)
    assert refusal is not None
    assert (refusal.status, refusal.param) == (400, "model")
    assert http_answers.objection(pick(model="a" * 1025), wants_model_headers=True) is not None
    assert http_answers.objection(pick(model="a\r\nx-evil: 1"), wants_model_headers=False) is None


def test_a_rewritten_body_cannot_be_said_here() -> None:
    refusal = http_answers.objection(pick(body=b"{}", served_model="other"), wants_model_headers=False)
    assert refusal is not None
    assert refusal.status == 500


def test_a_refusal_of_4xx_is_an_answer_of_its_own() -> None:
    rejection = Rejection(429, ErrorCode.POOL_SATURATED, "full", retry_after=0.2)
    answer = http_answers.refused(rejection, is_last=False, is_head=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"content-type: application/json" in head
    assert b"retry-after: 1" in head
    assert orjson.loads(body)["error"]["code"] == "pool_saturated"
    assert f"content-length: {len(body)}".encode() in head


def test_a_verdict_says_when_to_come_back() -> None:
    written = lines(http_answers.refused(refusals.no_ready_endpoint("none"), is_last=False, is_head=False))
    assert "x-gateway-picker-retry-after: 5" in written


def test_a_refusal_of_5xx_travels_as_a_verdict() -> None:
    rejection = Rejection(503, ErrorCode.NO_READY_ENDPOINT, "no pool is named 'ä\r\nx: y'")
    written = lines(http_answers.refused(rejection, is_last=False, is_head=False))
    assert written[0] == "HTTP/1.1 200 OK"
    assert "x-gateway-picker-verdict: no_ready_endpoint" in written
    assert not any(line.startswith("x-gateway-picker-retry-after") for line in written)
    assert "x-gateway-picker-message: no pool is named '\\xe4  x: y'" in written
    assert not any(line.startswith("x-gateway-destination-endpoint") for line in written)


def test_head_gets_the_length_and_not_the_body() -> None:
    whole = http_answers.replied(Reply(b"{}"), is_last=False, is_head=False)
    assert whole.endswith(b"\r\n\r\n{}")
    assert http_answers.replied(Reply(b"{}"), is_last=False, is_head=True) == whole[:-2]


@pytest.mark.parametrize("name", ["x-gateway-model-name-rewrite", "x-llm-d-model-name-rewrite"])
def test_a_rewrite_is_the_fault_of_the_client_that_asks_for_it(name: str) -> None:
    rewritten = pick(body=b"{}", served_model="other")
    asked = http_answers.objection(rewritten, wants_model_headers=True, headers={name: "other"})
    by_object = http_answers.objection(rewritten, wants_model_headers=True, headers={})

    assert asked is not None
    assert by_object is not None
    assert (asked.status, asked.param) == (400, name)
    assert by_object.status == 500
    assert http_answers.objection(pick(), wants_model_headers=True, headers={name: "other"}) is None
