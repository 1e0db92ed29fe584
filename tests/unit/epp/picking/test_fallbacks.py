"""The list behind the pick: as long as the proxy would walk, and no longer."""

from random import Random

import orjson
import pytest

from epp.config import default_config
from epp.domain import Endpoint, EndpointId, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY

POOL = PoolId("default/pool")
BODY = orjson.dumps({"model": "m", "prompt": "hello"})


def picked(
    fallbacks: int, endpoints: int = 4, *, path: str = "/v1/completions", body: bytes = BODY, lower_tiers: int = 0
) -> Pick:
    found = tuple(
        Endpoint(EndpointId(f"10.0.0.{n}:8000"), f"10.0.0.{n}", 8000, f"pod-{n}") for n in range(1, endpoints + 1)
    )
    picker = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver())
    picker.replace_pools({POOL: PoolSpec(POOL, found)}, 0.0)
    request = Request(POOL, "POST", path, {}, body, fallbacks=fallbacks, lower_tiers=lower_tiers)
    verdict = picker.submit(request, NOBODY, 0.0)
    assert isinstance(verdict, Pick)
    return verdict


def targets(fallbacks: int) -> tuple[str, ...]:
    return picked(fallbacks).targets


@pytest.mark.parametrize(("fallbacks", "length"), [(0, 1), (1, 2), (2, 3), (8, 4)])
def test_the_list_is_as_long_as_the_proxy_would_walk(fallbacks: int, length: int) -> None:
    assert len(targets(fallbacks)) == length


def test_no_endpoint_is_named_twice() -> None:
    listed = targets(3)

    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("member", "value"), [("previous_response_id", "resp_1"), ("conversation", "conv_1"), ("conversation", {"id": "c"})]
)
def test_a_request_that_builds_on_what_a_server_has_stored_is_sent_once(member: str, value: object) -> None:
    stored = orjson.dumps({"model": "m", "input": "hello", member: value})
    fresh = orjson.dumps({"model": "m", "input": "hello", member: None})

    assert picked(2, path="/v1/responses", body=stored).headers == (("x-gateway-retries", "0"),)
    assert picked(2, path="/v1/responses", body=fresh).headers == ()


@pytest.mark.parametrize(
    ("endpoints", "lower_tiers", "expected"),
    [(1, 0, (("x-gateway-retries", "0"),)), (2, 0, (("x-gateway-retries", "1"),)), (3, 0, ()), (1, 1, ())],
)
def test_a_request_moves_on_as_often_as_its_list_has_endpoints(
    endpoints: int, lower_tiers: int, expected: tuple[tuple[str, str], ...]
) -> None:
    assert picked(2, endpoints, lower_tiers=lower_tiers).headers == expected


def test_a_proxy_that_asks_for_no_list_gets_no_word_on_retries() -> None:
    assert picked(0, 1).headers == ()
