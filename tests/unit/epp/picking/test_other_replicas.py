"""What a replica knows of the others: what they have in flight, while they live; sessions, answers, failing servers."""

from dataclasses import replace

import orjson
import pytest

from epp.datalayer.producers.other_run import HEARTBEAT_SECONDS, SILENT_SECONDS
from epp.domain import (
    EndpointEjected,
    EndpointReturned,
    Feedback,
    Outcome,
    Pick,
    PickPlaced,
    PickSettled,
    ReplicaAlive,
    Request,
    RunId,
    SessionBound,
    SharedEvent,
)
from epp.picking.picker import Picker
from epp.testing import NOBODY
from tests.unit.epp.picking.driven import IDS, POOL, Events, ask, endpoints, final, picker, scrape, spec


def in_flight_elsewhere(made: Picker, now: float = 1.0) -> int:
    return sum(int(str(each["others_in_flight"])) for each in endpoints(made, now).values())


def pass_seconds(made: Picker, start: float, seconds: float) -> float:
    """As the process does: a beat every half second."""
    now = start
    while now < start + seconds:
        now += HEARTBEAT_SECONDS
        made.beat(now)
    return now


def carry(events: Events, to: Picker, now: float) -> None:
    """All that was published goes to another replica."""
    for event in events.journal:
        to.apply(event, now)
    events.journal.clear()


def test_what_a_vanished_replica_held_ends_within_three_seconds() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    one.beat(0.9)
    ask(one)
    carry(events, two, 1.0)
    assert in_flight_elsewhere(two) == 1

    assert in_flight_elsewhere(two, pass_seconds(two, 1.0, SILENT_SECONDS - HEARTBEAT_SECONDS)) == 1
    assert in_flight_elsewhere(two, pass_seconds(two, 1.0, 3.0)) == 0


def test_a_replica_that_is_seen_again_has_in_flight_what_it_had() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    one.beat(0.9)
    kept, settled = ask(one), ask(one)
    carry(events, two, 1.0)
    now = pass_seconds(two, 1.0, 5.0)
    assert in_flight_elsewhere(two, now) == 0

    one.settle(settled.id, Outcome.ENDED, now)
    carry(events, two, now)

    assert in_flight_elsewhere(two, now) == 1
    assert endpoints(two, now)[kept.targets[0]]["others_in_flight"] == 1


def test_a_heartbeat_ends_requests_whose_end_was_lost() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    lost, kept = ask(one), ask(one)
    carry(events, two, 1.0)
    one.settle(lost.id, Outcome.ENDED, 1.1)
    events.journal = [event for event in events.journal if not isinstance(event, PickSettled)]

    pass_seconds(one, 1.1, 2.0)
    carry(events, two, 3.2)

    assert in_flight_elsewhere(two, 3.2) == 1
    assert endpoints(two, 3.2)[kept.targets[0]]["others_in_flight"] == 1


def test_after_a_loss_everything_in_flight_can_be_said_again() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    first, second = ask(one), ask(one)
    one.settle(first.id, Outcome.ENDED, 1.1)
    events.journal = [*one.pools.restate(POOL)]

    carry(events, two, 1.2)

    assert in_flight_elsewhere(two) == 1
    assert endpoints(two)[second.targets[0]]["others_in_flight"] == 1


def test_a_replica_without_knowledge_gets_all_from_one_that_has_it() -> None:
    events = Events()
    one, three = picker(events), picker(Events(), replica="t")
    pick = talk(one, "chat", 1.0)
    one.observe(final(pick, stored_id="resp_1", ttft_seconds=2.0), 1.5)
    kept = ask(one, "y" * 2000, 1.6)
    for event in [*one.pools.everything(POOL)]:
        three.apply(event, 2.0)

    assert bound(three, "chat", 2.1) == pick.targets[0]
    assert three.pools.states[POOL].home("resp_1") == pick.targets[0]
    assert endpoints(three, 2.0)[kept.targets[0]]["others_in_flight"] == 1
    indices = [made.pools._builtin[POOL].prefixes.index for made in (one, three)]
    assert len(indices[0]) == len(indices[1]) > 0
    assert [indices[0].held(slot) for slot in range(3)] == [indices[1].held(slot) for slot in range(3)]


def test_what_another_replica_has_of_this_one_is_not_taken_for_anothers() -> None:
    at_one = Events()
    one, two = picker(at_one), picker(Events(), replica="s")
    one.beat(1.0)
    for number in range(20):
        pick = ask(one, f"{number} " * 4000, 1.0 + number)
        one.observe(final(pick, ttft_seconds=2.0, duration_seconds=4.0, completion_tokens=1), 1.5 + number)
        one.pass_time(1.6 + number)
    ask(one, "held", 30.0)
    carry(at_one, two, 30.0)
    before = {id_: (each["others_in_flight"], each["speed_samples"]) for id_, each in endpoints(one, 30.0).items()}

    for event in [*two.pools.everything(POOL)]:
        one.apply(event, 30.1)

    after = {id_: (each["others_in_flight"], each["speed_samples"]) for id_, each in endpoints(one, 30.1).items()}
    assert after == before


def test_own_and_others_load_are_shown_apart() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    pick = ask(one)
    carry(events, two, 1.0)

    here, there = endpoints(one)[pick.targets[0]], endpoints(two)[pick.targets[0]]

    assert (here["in_flight"], here["others_in_flight"]) == (1, 0)
    assert (there["in_flight"], there["others_in_flight"]) == (0, 1)
    assert there["others_in_flight_tokens"] == here["in_flight_tokens"] != 0


def test_without_other_replicas_nothing_is_published_and_no_stamp_is_made() -> None:
    made = picker()
    made.settle(ask(made).id, Outcome.ENDED, 1.5)
    assert made.pools._builtin[POOL].own_picks.handles() == {}
    assert made.pools._builtin[POOL].own_picks._live == {}


def talk(made: Picker, session: str, now: float) -> Pick:
    body = orjson.dumps({"model": "m", "prompt": f"{session} {now} " * 50})
    found = made.submit(Request(POOL, "POST", "/v1/completions", {"x-session-id": session}, body), NOBODY, now)
    assert isinstance(found, Pick)
    return found


def bound(made: Picker, session: str, now: float) -> object:
    return made.pools._builtin[POOL].sessions.sessions.endpoint(session, now)


def test_a_session_that_one_replica_binds_is_bound_on_all() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    pick = talk(one, "chat", 1.0)
    carry(events, two, 1.0)
    assert bound(two, "chat", 1.1) == pick.targets[0]


def test_a_session_in_use_is_published_now_and_then() -> None:
    events = Events()
    one = picker(events, endpoints=1)
    for number in range(100):
        talk(one, "chat", 1.0 + number)
    assert 2 <= sum(isinstance(event, SessionBound) for event in events.journal) <= 20


def test_two_replicas_that_bind_one_session_at_once_come_to_one_endpoint() -> None:
    at_one, at_two = Events(), Events()
    one, two = picker(at_one), picker(at_two, replica="s")
    ask(two, "y" * 2000)  # so that they choose differently
    talk(one, "chat", 1.0)
    talk(two, "chat", 1.0)
    first = [*at_one.journal]
    carry(at_two, one, 1.1)
    at_one.journal = first
    carry(at_one, two, 1.1)
    assert bound(one, "chat", 1.2) == bound(two, "chat", 1.2) is not None


def test_when_its_endpoint_is_gone_a_session_is_bound_anew_once() -> None:
    at_one, at_two = Events(), Events()
    one, two = picker(at_one), picker(at_two, replica="s")
    home = talk(one, "chat", 1.0).targets[0]
    carry(at_one, two, 1.0)
    left = spec().endpoints
    for each in (one, two):
        remaining = tuple(endpoint for endpoint in left if endpoint.id != home)
        each.replace_pools({POOL: type(spec())(POOL, remaining)}, 2.0)

    moved = talk(two, "chat", 3.0).targets[0]
    carry(at_two, one, 3.0)

    assert moved != home
    assert bound(one, "chat", 3.1) == moved
    assert talk(one, "chat", 3.2).targets[0] == moved


def test_a_session_leaves_a_failing_endpoint_on_all_replicas() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    pick = talk(one, "chat", 1.0)
    one.observe(final(pick, status=500), 1.5)
    for event in reversed(events.journal):
        two.apply(event, 1.5)
    assert bound(one, "chat", 1.6) is bound(two, "chat", 1.6) is None


def test_a_chain_of_responses_is_one_session_on_all_replicas() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    first = talk(one, "chat", 1.0)
    one.observe(final(first, stored_id="resp_1"), 1.5)
    carry(events, two, 1.5)
    body = orjson.dumps({"model": "m", "input": "go on", "previous_response_id": "resp_1"})

    found = two.submit(Request(POOL, "POST", "/v1/responses", {}, body), NOBODY, 2.0)

    assert isinstance(found, Pick)
    assert found.targets == (first.targets[0],)
    assert two.pools.states[POOL].stored.session("resp_1") == "chat"


def failing(events: list[SharedEvent]) -> list[EndpointEjected]:
    return [event for event in events if isinstance(event, EndpointEjected)]


def test_an_endpoint_where_one_replicas_requests_fail_is_avoided_by_all() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    now = 1.0
    while not failing(events.journal):
        now += 0.1
        pick = ask(one, f"{now} " * 300, now)
        status = 500 if pick.targets[0] == IDS[0] else 200
        one.observe(Feedback(pick.id, POOL, True, pick.targets[0], status, (), 1, 0.1, 1.0), now)
        assert now < 60
    carry(events, two, now)
    two.pass_time(now)

    shown = endpoints(two, now)[IDS[0]]
    assert shown["standing"] == "ejected"
    assert "another replica" in str(shown["reason"])
    assert all(ask(two, f"{number} " * 300, now).targets[0] != IDS[0] for number in range(20))

    two.apply(EndpointReturned(POOL, IDS[0], one.run, 2**40), now)
    two.pass_time(now)
    shares = []
    for tenth in range(60):  # it gets more as after an ejection of its own
        two.pass_time(now + tenth / 10)
        shares.append(float(str(endpoints(two, now + tenth / 10)[IDS[0]]["share"])))
    assert shares[0] == pytest.approx(0.1)
    assert shares == sorted(shares)
    assert 0.4 < shares[25] < 0.7
    assert shares[-1] == 1.0

    two.apply(EndpointEjected(POOL, IDS[0], one.run, "fails", 2**41), now)
    for number in range(20):  # what nobody repeats is forgotten
        two.pass_time(now + number)
    scrape(two, now + 20)
    assert endpoints(two, now + 20)[IDS[0]]["standing"] == "good"


def test_an_endpoint_that_left_takes_no_share_of_those_that_may_be_avoided() -> None:
    made = picker(Events())
    made.apply(EndpointEjected(POOL, IDS[0], RunId("other"), "cut", 1), 1.0)
    made.pass_time(1.0)
    assert endpoints(made)[IDS[0]]["standing"] == "ejected"
    made.replace_pools({POOL: replace(spec(), endpoints=spec().endpoints[1:])}, 1.0)
    made.apply(EndpointEjected(POOL, IDS[1], RunId("other"), "cut", 2), 1.0)

    assert ask(made, now=1.1).targets[0] == IDS[2]
    assert endpoints(made, 1.1)[IDS[1]]["standing"] == "ejected"


def test_what_only_this_replica_cannot_reach_is_its_own_affair() -> None:
    from epp.domain import ScrapeFault

    events = Events()
    one = picker(events)
    for number in range(10):
        one.scraped(POOL, IDS[0], ScrapeFault.REFUSED, 2.0 + number)
    assert endpoints(one, 12.0)[IDS[0]]["standing"] == "ejected"
    assert failing(events.journal) == []


def test_measured_speed_is_common_knowledge() -> None:
    events = Events()
    one, two = picker(events), picker(Events(), replica="s")
    prior = endpoints(two)[IDS[0]]["prefill_tokens_per_second"]
    for number in range(60):
        now = 1.0 + number
        pick = ask(one, f"{number} " * 4000, now)
        one.observe(final(pick, ttft_seconds=2.0, duration_seconds=4.0, completion_tokens=1), now + 0.5)
        one.pass_time(now + 0.6)
    carry(events, two, 70.0)
    for id_ in IDS:
        learned = endpoints(two, 70.0)[id_]["prefill_tokens_per_second"]
        assert learned != prior
        assert learned == pytest.approx(endpoints(one, 70.0)[id_]["prefill_tokens_per_second"], rel=0.01)


@pytest.mark.parametrize("stamp", [2**63, 2**64 - 1])
def test_a_stamp_that_nobody_can_have_counted_to_does_not_stop_the_count(stamp: int) -> None:
    events = Events()
    made = picker(events)
    made.apply(SessionBound(POOL, "s", IDS[0], stamp), 1.0)
    talk(made, "other", 1.0)
    assert all(event.stamp < 2**53 for event in events.journal if isinstance(event, SessionBound))


def test_a_replica_that_lies_about_what_does_not_exist_changes_nothing() -> None:
    made = picker(Events())
    nowhere = type(IDS[0])("10.9.9.9:1")
    made.apply(PickPlaced(POOL, ask(made).id, ((nowhere, 10**9),)), 1.0)
    made.apply(EndpointEjected(POOL, nowhere, made.run, "x" * 200, 1), 1.0)
    made.apply(ReplicaAlive(POOL, made.run, 2**64 - 1, 2**64 - 1, (1, 2, 3)), 1.0)
    assert in_flight_elsewhere(made) == 0
    assert isinstance(ask(made), Pick)
