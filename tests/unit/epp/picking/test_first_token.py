"""Within how many seconds a streamed answer must have begun, by the route or the objective."""

from dataclasses import replace

import orjson
import pytest

from epp.domain import Pick, Request
from epp.testing import NOBODY
from gateway.wire import protocol
from tests.unit.epp.picking.driven import POOL, picker, spec


def headers(*, route: float | None, objective: str = "", is_streaming: bool = True) -> dict[str, str]:
    """What a request goes on with, in a pool where the objective `chat` has a limit of four seconds."""
    made = picker()
    made.replace_pools({POOL: replace(spec(), priorities={"chat": 1, "batch": 0}, first_tokens={"chat": 4.0})}, 1.0)
    body = orjson.dumps({"model": "m", "prompt": "hi", "stream": is_streaming})
    sent = {protocol.OBJECTIVE: objective} if objective else {}
    verdict = made.submit(Request(POOL, "POST", "/v1/completions", sent, body, first_token=route), NOBODY, 1.0)
    assert isinstance(verdict, Pick)
    return dict(verdict.headers)


@pytest.mark.parametrize(
    ("route", "objective", "expected"),
    [
        (None, "", None),
        (None, "batch", None),
        (2.5, "", "2500"),
        (None, "chat", "4000"),
        (2.5, "chat", "2500"),
        (9.0, "chat", "4000"),
    ],
)
def test_the_shorter_limit_counts(route: float | None, objective: str, expected: str | None) -> None:
    found = headers(route=route, objective=objective)

    assert found.get(protocol.ATTEMPT_TIMEOUT) == expected
    assert found.get(protocol.TTFT_LIMIT) == (expected and protocol.TTFT_HELD)


def test_an_answer_in_one_piece_has_no_first_token() -> None:
    assert headers(route=2.5, is_streaming=False) == {}
