"""Admission and charges, in virtual time."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.quotas.counters import Claim, MemoryCounters
from gateway.quotas.estimates import Answer
from gateway.quotas.quotas import Quotas
from gateway.quotas.rules import ANY, Condition, Measure, Rule, RuleSet
from gateway.quotas.usage import Usage
from gateway.quotas.verdicts import Verdict, limits
from gateway.quotas.windows import CALENDAR_MONTH, SLOTS, Window

ACME = {"tenant": "acme"}
NOON = 1_764_331_200.0


class Watch:
    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.usages: list[Usage] = []

    def decided(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def charged(self, usage: Usage) -> None:
        self.usages.append(usage)


def rule(measure: Measure, limit: int, seconds: float | None = 60.0, *, is_shadow: bool = False) -> Rule:
    name = f"{measure}-{seconds}-{is_shadow}"
    window = CALENDAR_MONTH if seconds is None else Window(seconds)
    return Rule(name, name, (Condition("tenant", ANY),), measure, limit, window, name, is_shadow=is_shadow)


def quotas(*rules: Rule, counters: MemoryCounters | None = None) -> Quotas:
    made = Quotas(counters or MemoryCounters(), Watch())
    made.replace(RuleSet(rules))
    return made


def ask(under_test: Quotas, now: float, subject: dict[str, str] | None = None) -> Verdict:
    found: list[Verdict] = []
    under_test.admit(ACME if subject is None else subject, now, found.append)
    (verdict,) = found
    return verdict


def passes(under_test: Quotas, now: float, subject: dict[str, str] | None = None) -> bool:
    return ask(under_test, now, subject).refused_by is None


def used(tokens: int) -> Answer:
    return Answer(200, 1, 10, 10, prompt=0, completion=tokens)


@given(
    st.lists(st.floats(min_value=0, max_value=300), min_size=1, max_size=200).map(sorted),
    st.integers(min_value=0, max_value=8),
)
def test_no_span_of_the_windows_length_has_more_than_the_limit(moments: Sequence[float], limit: int) -> None:
    under_test = quotas(rule(Measure.REQUESTS, limit))

    admitted = [moment for moment in moments if passes(under_test, NOON + moment)]

    for start in admitted:
        assert sum(start <= moment < start + 60 for moment in admitted) <= limit


@given(
    st.lists(st.floats(min_value=0, max_value=600), min_size=1, max_size=60).map(sorted),
    st.integers(min_value=1, max_value=6),
)
def test_who_waits_as_long_as_the_answer_says_is_admitted(moments: Sequence[float], limit: int) -> None:
    under_test = quotas(rule(Measure.REQUESTS, limit))
    for moment in moments:
        verdict = ask(under_test, NOON + moment)
        if verdict.refused_by is not None:
            assert 0 < verdict.refused_by.wait <= 60 * (1 + 1 / SLOTS)
            assert passes(under_test, NOON + moment + verdict.refused_by.wait + 1e-3)
            return


def test_tokens_are_checked_at_admission_and_charged_at_the_end() -> None:
    under_test = quotas(rule(Measure.TOKENS, 100))

    end(under_test, ask(under_test, NOON), used(99), NOON + 1)
    second = ask(under_test, NOON + 2)
    assert second.refused_by is None
    end(under_test, second, used(500), NOON + 3)

    refused = ask(under_test, NOON + 4).refused_by
    assert refused is not None
    assert (refused.used, refused.remaining) == (599, 0)
    assert passes(under_test, NOON + 4, {"tenant": "other"})
    assert passes(under_test, NOON + 67)


def end(under_test: Quotas, verdict: Verdict, answer: Answer, now: float = NOON) -> None:
    under_test.charge(ACME, answer, now, verdict.reserved)


def test_answers_in_flight_count_as_the_average_until_they_end() -> None:
    under_test = quotas(rule(Measure.TOKENS, 100))
    end(under_test, ask(under_test, NOON), used(40))

    both = [ask(under_test, NOON) for _ in range(2)]
    assert [each.refused_by for each in both] == [None, None]  # 40 were used, 40 are reserved twice
    assert not passes(under_test, NOON)
    end(under_test, both[0], Answer(503, 1, 10, 10))  # an error uses nothing
    end(under_test, both[1], used(10))
    found = ask(under_test, NOON)
    assert (found.refused_by, found.standings[0].used) == (None, 50)


def test_what_was_reserved_is_not_given_back_by_other_rules() -> None:
    under_test = quotas(rule(Measure.TOKENS, 100))
    end(under_test, ask(under_test, NOON), used(40))
    open_ = ask(under_test, NOON)
    under_test.replace(RuleSet([rule(Measure.TOKENS, 100), rule(Measure.TOKENS, 100, 3600.0)]))
    end(under_test, open_, used(40))

    assert [each.used for each in ask(under_test, NOON).standings] == [120, 40]


def test_what_was_reserved_in_a_window_that_has_passed_is_given_back_nowhere() -> None:
    under_test = quotas(rule(Measure.TOKENS, 100))
    end(under_test, ask(under_test, NOON), used(40))
    open_ = ask(under_test, NOON)
    end(under_test, open_, used(30), NOON + 120)

    assert ask(under_test, NOON + 120).standings[0].used == 30


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 120)), max_size=60))
def test_what_answers_used_is_never_less_than_counted(answers: list[tuple[int, int]]) -> None:
    under_test, total, opened = quotas(rule(Measure.TOKENS, 10**9, 3600.0)), 0, []
    for tokens, order in answers:
        opened.append((order, tokens, ask(under_test, NOON)))
    for _, tokens, verdict in sorted(opened, key=lambda each: each[0]):
        end(under_test, verdict, used(tokens), NOON + 1)
        total += tokens

    counted = ask(under_test, NOON + 2)
    assert counted.standings == [] or counted.standings[0].used == total


def test_a_refused_request_is_counted_nowhere() -> None:
    counters = MemoryCounters()
    under_test = quotas(rule(Measure.REQUESTS, 2, 1.0), rule(Measure.REQUESTS, 10, 60.0), counters=counters)

    admitted = sum(passes(under_test, NOON + at / 100) for at in range(50))

    assert admitted == 2
    found = limits(ask(under_test, NOON + 30).standings)[Measure.REQUESTS]
    assert found.used <= 2


def test_shadow_mode_counts_and_refuses_nobody() -> None:
    under_test = quotas(rule(Measure.REQUESTS, 2, is_shadow=True))

    verdicts = [ask(under_test, NOON) for _ in range(5)]

    assert [each.refused_by for each in verdicts] == [None] * 5
    assert [each.standings[0].is_exhausted for each in verdicts] == [False, False, True, True, True]
    assert limits(verdicts[0].standings) == {}


def test_a_limit_of_nought_refuses_every_request_and_says_when_to_ask_again() -> None:
    refused = ask(quotas(rule(Measure.TOKENS, 0)), NOON).refused_by

    assert refused is not None
    assert refused.wait == 60


def test_a_month_starts_anew_on_its_first_day() -> None:
    under_test = quotas(rule(Measure.TOKENS, 10, None))
    under_test.charge(ACME, used(10), NOON)

    refused = ask(under_test, NOON).refused_by
    assert refused is not None
    assert not passes(under_test, NOON + refused.wait - 1)
    assert passes(under_test, NOON + refused.wait)


def test_clients_are_shown_the_rule_of_which_least_is_left() -> None:
    under_test = quotas(rule(Measure.TOKENS, 100), rule(Measure.TOKENS, 150, 3600.0), rule(Measure.REQUESTS, 7))
    under_test.charge(ACME, used(30), NOON)

    shown = limits(ask(under_test, NOON).standings)

    assert (shown[Measure.TOKENS].rule.limit, shown[Measure.TOKENS].remaining) == (100, 70)
    assert (shown[Measure.REQUESTS].rule.limit, shown[Measure.REQUESTS].remaining) == (7, 7)


def test_counts_go_on_when_a_limit_changes() -> None:
    under_test = quotas(rule(Measure.TOKENS, 100))
    under_test.charge(ACME, used(50), NOON)

    under_test.replace(RuleSet([rule(Measure.TOKENS, 40)]))

    assert not passes(under_test, NOON)


@pytest.mark.parametrize("seconds", [1.0, 60.0])
def test_a_flood_of_names_shares_one_counter_and_makes_room_as_windows_pass(seconds: float) -> None:
    counters = MemoryCounters(most=10)
    under_test = quotas(rule(Measure.REQUESTS, 1, seconds), counters=counters)

    admitted = [passes(under_test, NOON, {"tenant": f"t{at}"}) for at in range(1000)]

    assert sum(admitted) == 11
    assert counters.size == 11
    assert passes(under_test, NOON + 2.2 * seconds, {"tenant": "later"})
    assert counters.size == 11


def test_what_was_used_is_counted_in_the_window_of_its_time() -> None:
    counters = MemoryCounters()
    claim = Claim("k", "k", Window(60.0), 5)
    counters.add([claim], NOON)
    found: list[object] = []

    counters.take([claim._replace(amount=0)], NOON + 59, found.append)
    counters.take([claim._replace(amount=0)], NOON + 64, found.append)

    assert found == [[[(claim.window.slot(NOON), 5)]], [[]]]
