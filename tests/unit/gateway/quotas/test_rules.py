"""Which rules decide about a request."""

import pytest

from gateway.quotas.rules import ANY, Condition, Measure, Rule, RuleSet
from gateway.quotas.usage import Usage, Weights
from gateway.quotas.windows import Window


def rule(name: str, *, rivalry: str = "tokens", is_shadow: bool = False, **conditions: str) -> Rule:
    wanted = tuple(Condition(*item) for item in sorted(conditions.items()))
    return Rule(name, name, wanted, Measure.TOKENS, 10, Window(60.0), rivalry, is_shadow=is_shadow)


EVERYONE = rule("everyone")
EACH = rule("each", tenant=ANY)
ACME = rule("acme", tenant="acme")
ACME_LARGE = rule("acme-large", tenant="acme", model="large")
LARGE = rule("large", model="large")


def deciding(*rules: Rule, **subject: str) -> list[str]:
    return [each.name for each in RuleSet(rules).deciding(subject)]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ({}, ["each"]),
        ({"tenant": "other"}, ["each"]),
        ({"tenant": "acme"}, ["acme"]),
        ({"tenant": "acme", "model": "small"}, ["acme"]),
        ({"tenant": "acme", "model": "large"}, ["acme-large"]),
        ({"tenant": "other", "model": "large"}, ["each", "large"]),
    ],
)
def test_the_most_specific_rule_wins_whatever_the_order(subject: dict[str, str], expected: list[str]) -> None:
    rules = [EVERYONE, EACH, ACME, ACME_LARGE, LARGE]

    assert sorted(deciding(*rules, **subject)) == expected
    assert sorted(deciding(*reversed(rules), **subject)) == expected


def test_rules_of_other_rivalries_apply_beside_each_other() -> None:
    hourly = rule("hourly", rivalry="hours", tenant=ANY)

    assert deciding(ACME, hourly, tenant="acme") == ["acme", "hourly"]


def test_of_rules_for_the_same_requests_the_first_counts_alone() -> None:
    first, second = rule("first", tenant="acme"), rule("second", tenant="acme")

    assert deciding(first, second, tenant="acme") == ["first"]
    assert [(each.winner.name, each.loser.name, each.is_whole) for each in RuleSet([first, second]).overlaps()] == [
        ("first", "second", True)
    ]


def test_a_rule_that_is_tried_out_lifts_no_limit() -> None:
    trial = rule("trial", is_shadow=True, tenant="acme")

    assert deciding(EACH, trial, tenant="acme") == ["each", "trial"]


def test_each_value_has_its_own_counter_and_requests_without_one_share_another() -> None:
    found = [EACH.counter(subject) for subject in ({"tenant": "a"}, {"tenant": "b"}, {}, {"model": "x"})]

    assert len(set(found)) == 3
    assert found[2] == found[3]


@pytest.mark.parametrize("name", ["x" * 5000, "a|b", "a|#"])
def test_no_value_reaches_the_counter_of_another_one(name: str) -> None:
    two = rule("two", a=ANY, b=ANY)
    keys = {two.counter({"a": name, "b": "c"}), two.counter({"a": "a", "b": "b|c"}), two.counter({"a": "", "b": name})}

    assert len(keys) == 3
    assert max(map(len, keys)) < 300


def test_overlaps_name_both_rules_once() -> None:
    found = {(each.winner.name, each.loser.name, each.is_whole) for each in RuleSet([EACH, ACME, LARGE]).overlaps()}

    assert found == {("acme", "each", False)}


@pytest.mark.parametrize(
    ("weights", "counted"),
    [
        (Weights(), 160),
        (Weights(cached=0.1), 70 + 3 + 60),
        (Weights(input=0, cached=0, output=2, reasoning=0.5), 2 * 50 + 5),
        (Weights(input=0.001, cached=0, output=0, reasoning=0), 1),
        (Weights(0, 0, 0, 0), 0),
    ],
)
def test_each_token_counts_by_its_kind(weights: Weights, counted: int) -> None:
    assert weights.count(Usage(prompt=100, cached=30, completion=60, reasoning=10)) == counted


def test_more_cached_than_prompt_tokens_count_as_the_prompt() -> None:
    assert Weights(cached=0.5).count(Usage(prompt=10, cached=50, completion=0)) == 5
