"""Two replicas before one pool: together they fill it once, whatever comes to which of them."""

from collections.abc import Sequence

import pytest

from tests.unit.epp.admission.queues import SCRAPES, SLOTS, Client, Queues
from tests.unit.epp.picking.driven import Events

SLOT_COUNT = 8
STEP = 0.025  # what one replica does all know after this time


class Fleet:
    """Two replicas that know of each other, with a journal that takes its time."""

    def __init__(self, text: str = SLOTS) -> None:
        self.events = (Events(), Events())
        self.replicas = tuple(
            Queues(text, replica=name, journal=events) for name, events in zip("ab", self.events, strict=True)
        )
        self.now = 1.0
        self.carry()
        self.carry()  # the heartbeats of the first time are known

    def carry(self) -> None:
        """Time passes, and what each published reaches the other."""
        self.now += STEP
        sent = [[*events.journal] for events in self.events]
        for events in self.events:
            events.journal.clear()
        for replica, published in zip(self.replicas, reversed(sent), strict=True):
            for event in published:
                replica.picker.apply(event, self.now)
            replica.picker.resume(self.now)
            replica.picker.beat(self.now)

    def burst(self, at: int, requests: int) -> list[Client]:
        return [self.replicas[at].send(self.now) for _ in range(requests)]


def admitted(clients: Sequence[Client]) -> int:
    return sum(len(client.picks) for client in clients)


def test_two_bursts_at_once_fill_the_pool_once() -> None:
    fleet = Fleet()
    one, two = fleet.burst(0, 20), fleet.burst(1, 20)
    assert admitted(one) == admitted(two) == SLOT_COUNT // 2
    for _ in range(10):
        fleet.carry()
    assert SLOT_COUNT <= admitted(one) + admitted(two) <= SLOT_COUNT + 1


def test_a_burst_at_one_replica_gets_the_whole_pool_in_a_few_steps() -> None:
    fleet = Fleet()
    clients = fleet.burst(0, 20)
    for _ in range(5):
        fleet.carry()
    assert admitted(clients) == SLOT_COUNT


def test_an_end_lets_one_request_go_and_not_one_at_each_replica() -> None:
    fleet = Fleet()
    one, two = fleet.burst(0, 20), fleet.burst(1, 20)
    for _ in range(10):
        fleet.carry()
    for pick in [pick for client in one for pick in client.picks][:3]:
        before = admitted(one) + admitted(two)
        fleet.replicas[0].end(pick.id, fleet.now)
        for _ in range(3):
            fleet.carry()
        assert admitted(one) + admitted(two) <= before + 1


def test_what_one_replica_sent_since_the_last_scrape_counts_at_the_other() -> None:
    fleet = Fleet(SCRAPES)
    one = fleet.burst(0, 60)
    for _ in range(8):
        fleet.carry()
    two = fleet.burst(1, 60)
    for _ in range(8):
        fleet.carry()
    alone = Queues(SCRAPES)
    expected = admitted([alone.send(1.0) for _ in range(120)])
    assert admitted(one) + admitted(two) == pytest.approx(expected, abs=2)
