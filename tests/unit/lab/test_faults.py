"""The verdicts of `make faults`: what a client got, and what the failing server saw."""

from dataclasses import replace

import pytest

from tests.bench.faults.provider import REFUSALS, Server
from tests.bench.faults.scenarios import PROFILES, SCENARIOS, Outcome, Verdict, verdict

WHOLE = Outcome(is_ok=True, is_whole=True, seconds=0.7, server="server-1", has_usage=True, attempts=(0.0,))
ERROR = Outcome(is_ok=False, is_whole=False, seconds=0.1, error="503", attempts=(0.0,))
BY_NAME = {each.name: each for each in SCENARIOS}


@pytest.mark.parametrize(
    ("name", "seen", "expected"),
    [
        ("S04", WHOLE, Verdict.PASS),
        ("S04", ERROR, Verdict.SAFE),
        ("S04", replace(WHOLE, seconds=50.0), Verdict.FAIL),
        ("S04", replace(WHOLE, attempts=(0.0,) * 7), Verdict.FAIL),
        ("S08", replace(WHOLE, is_whole=False), Verdict.FAIL),
        ("S01", replace(WHOLE, attempts=(0.0, 0.5)), Verdict.PARTIAL),
        ("S11", replace(WHOLE, has_usage=False), Verdict.PARTIAL),
        ("S13", replace(ERROR, error="400"), Verdict.PASS),
        ("S13", WHOLE, Verdict.PARTIAL),
        ("S15", replace(WHOLE, served=(9, 10), back_after=1.0), Verdict.FAIL),
        ("S15", replace(WHOLE, served=(10, 10), back_after=1.0), Verdict.PASS),
        ("S15", replace(WHOLE, served=(10, 10)), Verdict.FAIL),
        ("S16", replace(WHOLE, server="server-0"), Verdict.FAIL),
    ],
)
def test_a_verdict_takes_the_answer_and_the_conduct(name: str, seen: Outcome, expected: Verdict) -> None:
    assert verdict(BY_NAME[name], seen, PROFILES["fast"])[0] is expected


def test_a_fault_that_comes_once_is_over_after_the_first_attempt() -> None:
    server = Server("one")
    server.set({"fault": "500_once"})

    assert [server.ask(), server.ask()] == ["500_once", ""]


def test_a_fault_that_refuses_stays() -> None:
    server = Server("one")
    server.set({"fault": "503"})

    assert {server.ask() for _ in range(9)} == {"503"}
    assert REFUSALS["503"][0] == 503


def test_there_are_sixteen() -> None:
    assert len(BY_NAME) == len(SCENARIOS) == 16
