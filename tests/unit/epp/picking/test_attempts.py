"""Each failed attempt counts for its cause, at once and once; the report of its request counts what is left."""

import pytest

from epp.domain import Feedback, Outcome, Pick, PoolId
from epp.picking.picker import Picker
from gateway.wire.errors import Rejection
from tests.unit.epp.picking.driven import IDS, ask, endpoints, final, picker
from tests.unit.epp.picking.test_poison import submit

REFUSED = {"status": None, "flags": ("upstream_connection_failure",)}
RESET = {"status": None, "flags": ("upstream_connection_termination",)}
LOADED = {"status": 503, "flags": ()}


def attempt(made: Picker, pick: Pick, number: int, now: float, **how: object) -> None:
    """An attempt at the endpoint of that number in the list fails."""
    found = Feedback(pick.id, PoolId(""), is_final=False, served=pick.targets[number - 1], failed_attempt=number, **how)  # type: ignore[arg-type]
    made.observe(found, now)


def moved(made: Picker, now: float, **how: object) -> str:
    """A request whose first attempt fails like this, and whose second is answered; the first endpoint."""
    pick = ask(made, f"at {now} " * 400, now, fallbacks=2)
    attempt(made, pick, 1, now, **how)
    made.settle(pick.id, Outcome.ENDED, now + 0.1)
    made.observe(final(pick, served=pick.targets[1], attempts=2), now + 0.1)
    return pick.targets[0]


def shown(made: Picker, endpoint: str, now: float) -> dict[str, object]:
    return endpoints(made, now)[endpoint]


def test_a_refused_connection_counts_while_the_request_is_still_open() -> None:
    made = picker()
    picks = [ask(made, f"number {number} " * 400, 1.0, fallbacks=2) for number in range(9)]
    mine = [pick for pick in picks if pick.targets[0] == IDS[0]][:3]
    for pick in mine:
        attempt(made, pick, 1, 1.2, **REFUSED)

    assert shown(made, IDS[0], 1.3)["standing"] == "ejected"
    assert "requests cannot connect" in str(shown(made, IDS[0], 1.3)["reason"])


def test_a_server_that_is_only_full_rests_and_is_never_ejected() -> None:
    made = picker()
    for number in range(12):
        found = moved(made, 1.0 + number / 10, **LOADED)
        assert shown(made, found, 1.1 + number / 10)["standing"] == "good"


def test_an_attempt_counts_once() -> None:
    made = picker()
    found = moved(made, 1.0, **RESET)
    moved(made, 1.1, **RESET)

    assert shown(made, found, 1.3)["standing"] == "good", "two failures at most, where three eject"


@pytest.mark.parametrize(("how", "is_refused"), [(RESET, True), (LOADED, False), (REFUSED, False)])
def test_only_servers_that_broke_off_make_a_request_suspect(how: dict[str, object], is_refused: bool) -> None:
    made = picker()
    pick = submit(made, 1.0)
    assert isinstance(pick, Pick)
    targets = (pick.targets * 2)[:1] + tuple(id_ for id_ in IDS if id_ != pick.targets[0])
    for number, endpoint in enumerate(targets[:2], start=1):
        found = Feedback(pick.id, PoolId(""), is_final=False, served=endpoint, failed_attempt=number, **how)  # type: ignore[arg-type]
        made.observe(found, 1.0 + number / 100)

    assert isinstance(submit(made, 1.1), Rejection) is is_refused, "known before the request has ended"


def test_an_attempt_of_an_unknown_pick_changes_nothing() -> None:
    made = picker()
    pick = ask(made)
    made.settle(pick.id, Outcome.ENDED, 1.1)
    made.observe(final(pick), 1.1)
    attempt(made, pick, 1, 1.2, **REFUSED)

    assert shown(made, pick.targets[0], 1.3)["standing"] == "good"
