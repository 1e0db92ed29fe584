"""Sessions take turns where no fairness id says whose requests they are."""

import pytest

from epp.flowcontrol.band import Band
from epp.flowcontrol.items import Item, Limit, Size
from epp.flowcontrol.ordering import FirstComeOrdering, Ordering, SloDeadlineOrdering
from epp.flowcontrol.policies import (
    FairnessPolicy,
    GlobalStrictFairness,
    RoundRobinFairness,
    TokenFairness,
    WeightedFairness,
)
from epp.flowcontrol.settings import BandSettings
from epp.flowcontrol.turns import SessionTurns
from gateway.wire import protocol
from tests.unit.epp.admission.queues import SLOTS, Queues


def order(sessions: str, fairness: FairnessPolicy, ordering: Ordering | None = None) -> str:
    """Requests of sessions in the order of their arrival; sessions in the order of dispatch."""
    band = Band(0, BandSettings(Limit(), fairness, ordering or FirstComeOrdering()))
    for number, session in enumerate(sessions):
        band.add(Item(number, "", 0, Size(), float(number), session=session.strip()))
    found = ""
    while len(band):
        head = band.head()
        band.dispatched(head)
        band.remove(head)
        found += head.session or " "
    return found


@pytest.mark.parametrize("fairness", [RoundRobinFairness(), WeightedFairness(), TokenFairness()])
def test_a_session_with_many_requests_does_not_go_before_one_with_its_first(fairness: FairnessPolicy) -> None:
    assert order("aaaabbc", fairness) == "abcabaa"


def test_requests_without_a_session_go_by_arrival() -> None:
    assert order("a  aa", RoundRobinFairness()) == "a  aa"


def test_a_strict_band_and_one_by_deadlines_have_no_turns() -> None:
    assert order("aaab", GlobalStrictFairness()) == "aaab"
    assert order("aaab", RoundRobinFairness(), SloDeadlineOrdering()) == "aaab"


def test_a_session_that_was_silent_has_saved_nothing_up() -> None:
    turns = SessionTurns()
    for _ in range(10):
        turns.went(turns.take("loud"))
    assert turns.take("silent") == turns.take("loud") - 1 == 9


def test_sessions_are_forgotten_whose_turn_has_come() -> None:
    turns = SessionTurns()
    for number in range(100_000):
        turns.went(turns.take(str(number)) + 1)
    assert len(turns) < 200


FAIR = SLOTS.replace("plugins: [", "plugins: [{type: round-robin-fairness-policy}, ").replace(
    "flowControl:\n", "flowControl:\n  defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}\n"
)


@pytest.mark.parametrize(("tenant", "expected"), [("", ["loud", "quiet", "loud", "loud"]), ("t", ["loud"] * 3)])
def test_the_gate_takes_sessions_from_what_clients_send(tenant: str, expected: list[str]) -> None:
    queues = Queues(FAIR)
    running = queues.fill(0.0)
    names = {protocol.FAIRNESS_ID: tenant} if tenant else {}
    waiting = [
        (session, queues.send(1.0, headers={"x-claude-code-session-id": session, **names}))
        for session in ("loud", "loud", "loud", "quiet")
    ]
    found: list[str] = []
    for pick in running[: len(expected)]:
        before = {id(client) for _, client in waiting if client.picks}
        queues.end(pick, 2.0)
        found += [session for session, client in waiting if client.picks and id(client) not in before]
    assert found == expected
