"""The `retry` of a rule is read as the experimental Gateway API has it."""

import pytest

from gateway.kube.objects import HTTPRoute, Retry
from tests.unit.kube.documents import ROUTE, read_one


def rule(retry: str) -> tuple[object, list[str], list[str]]:
    """What becomes of a route whose only rule has this."""
    return read_one(f"{ROUTE}spec: {{rules: [{{retry: {retry}}}]}}\n")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{codes: [503, 429, 503], attempts: 3, backoff: 250ms}", Retry((429, 503), 3, 0.25)),
        ("{attempts: 0}", Retry((), 0, None)),
        ("{}", Retry()),
    ],
)
def test_a_retry_is_read(written: str, expected: Retry) -> None:
    found, problems, notes = rule(written)

    assert (problems, notes) == ([], [])
    assert isinstance(found, HTTPRoute)
    assert found.rules[0].retry == expected


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("{codes: [200]}", "codes[0]"),
        ("{codes: ['503']}", "codes[0]"),
        ("{codes: 503}", "codes"),
        ("{attempts: -1}", "attempts"),
        ("{attempts: two}", "attempts"),
        ("{backoff: 5}", "backoff"),
        ("{backof: 5s}", "backof"),
    ],
)
def test_a_wrong_retry_is_a_problem_at_its_place(written: str, field: str) -> None:
    _, problems, _ = rule(written)

    (problem,) = problems
    assert f"retry.{field}" in problem
