"""Replicas elect the one that writes: in virtual time, whatever they lose and whenever they come."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gateway.kube.sources.cluster.lease import (
    DURATION_SECONDS,
    GIVE_UP_SECONDS,
    TURN_SECONDS,
    Candidate,
    Record,
)


@dataclass
class Server:
    """One Lease, with a version: a write under another one is refused."""

    record: Record | None = None
    version: int = 0

    def write(self, record: Record, version: int) -> bool:
        if version != self.version:
            return False
        self.record, self.version = record, version + 1
        return True


@dataclass
class Replica:
    """A candidate with a clock of its own."""

    candidate: Candidate
    offset: float = 0.0
    read: tuple[Record | None, int] = field(default=(None, 0))
    has_gained: bool = False

    def look(self, server: Server) -> None:
        self.read = server.record, server.version

    def act(self, server: Server, now: float) -> None:
        found, version = self.read
        record = self.candidate.next_record(found, f"{self.candidate.identity} {now}", now + self.offset)
        if record is not None and server.write(record, version):
            self.has_gained = self.candidate.written(record, now + self.offset, now + self.offset)

    def turn(self, server: Server, now: float) -> None:
        self.look(server)
        self.act(server, now)

    def holds(self, now: float) -> bool:
        return self.candidate.holds(now + self.offset)


def pair() -> tuple[Replica, Replica]:
    return Replica(Candidate("a")), Replica(Candidate("b"), offset=1e6)


def test_the_first_holds_it_and_the_others_wait() -> None:
    server, (a, b) = Server(), pair()
    for turn in range(30):
        now = turn * TURN_SECONDS
        a.turn(server, now)
        b.turn(server, now)
        assert a.holds(now)
        assert not b.holds(now)
    assert server.record is not None
    assert server.record.transitions == 0


def test_of_two_that_read_at_once_one_is_refused() -> None:
    server, (a, b) = Server(), pair()
    a.look(server)
    b.look(server)
    a.act(server, 0.0)
    b.act(server, 0.0)

    assert (a.holds(0.0), b.holds(0.0)) == (True, False)


def test_one_that_falls_silent_gives_up_before_another_takes_over() -> None:
    server, (a, b) = Server(), pair()
    a.turn(server, 0.0)
    taken = None
    for step in range(400):
        now = step * 0.1
        if step % 20 == 0:
            b.turn(server, now)
        assert not (a.holds(now) and b.holds(now))
        if taken is None and b.holds(now):
            taken = now
    assert not a.holds(GIVE_UP_SECONDS)
    assert taken is not None
    assert DURATION_SECONDS <= taken <= DURATION_SECONDS + 2 * TURN_SECONDS
    a.turn(server, 40.0)
    assert not a.holds(40.0), "it comes back to another's Lease"
    assert server.record is not None
    assert (server.record.holder, server.record.transitions) == ("b", 1)


def test_a_renewal_in_time_gains_nothing_and_a_late_one_what_was_not_written_meanwhile() -> None:
    server, (a, _) = Server(), pair()
    a.turn(server, 0.0)
    assert a.has_gained
    a.turn(server, TURN_SECONDS)
    assert not a.has_gained
    a.turn(server, TURN_SECONDS + GIVE_UP_SECONDS)
    assert a.has_gained
    assert a.holds(TURN_SECONDS + GIVE_UP_SECONDS)


def test_one_that_ends_gives_it_up_and_the_next_takes_it_at_once() -> None:
    server, (a, b) = Server(), pair()
    a.turn(server, 0.0)
    b.turn(server, 0.1)
    released = a.candidate.released(server.record)
    assert released is not None
    assert server.write(released, server.version)
    assert not a.holds(0.2)
    b.turn(server, 0.2)

    assert b.holds(0.2)
    assert a.candidate.released(server.record) is None


def test_one_that_ends_after_another_took_over_leaves_it_alone() -> None:
    server, (a, b) = Server(), pair()
    a.turn(server, 0.0)
    b.turn(server, 0.0)
    b.turn(server, DURATION_SECONDS)
    assert b.holds(DURATION_SECONDS)

    assert a.candidate.released(server.record) is None


def test_a_lease_that_somebody_deletes_is_made_again() -> None:
    server, (a, _) = Server(), pair()
    a.turn(server, 0.0)
    server.record = None
    a.turn(server, TURN_SECONDS)

    assert a.holds(TURN_SECONDS)
    assert server.record is not None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(("look", "act", "turn", "end")), st.floats(0.01, 8.0)),
        max_size=120,
    )
)
def test_never_two_hold_it_at_one_time(steps: list[tuple[str, str, float]]) -> None:
    server, now = Server(), 0.0
    replicas = {name: Replica(Candidate(name), offset=number * 1000.0) for number, name in enumerate("abc")}
    for name, what, pause in steps:
        now += pause
        replica = replicas[name]
        if what == "look":
            replica.look(server)
        elif what == "act":
            replica.act(server, now)
        elif what == "turn":
            replica.turn(server, now)
        else:
            released = replica.candidate.released(server.record)
            if released is not None:
                server.write(released, server.version)
        assert sum(each.holds(now) for each in replicas.values()) <= 1, (name, what)
