"""What a worker keeps of what it published, and what a sibling finds that comes back to it."""

from epp.domain import EndpointId, PoolId, PrefixLearned
from epp.sharing.codec import decode
from epp.sharing.local_tail import Tail

POOL = PoolId("default/p")


def event(number: int, blocks: int = 1) -> PrefixLearned:
    return PrefixLearned(POOL, EndpointId("e"), (number,) * blocks, number)


def sealed(tail: Tail, *numbers: int) -> None:
    for number in numbers:
        tail.put(event(number))
    tail.seal(0.0)


def events(tail: Tail, after: int) -> list[int]:
    return [each.stamp for message in tail.after(after)[0] for each in decode(message.body)]  # type: ignore[union-attr]


def test_what_came_together_is_one_message_and_who_follows_gets_each_once() -> None:
    tail = Tail()
    sealed(tail, 1, 2)
    at = tail.last
    sealed(tail, 3)

    assert (events(tail, 0), events(tail, at), events(tail, tail.last)) == ([1, 2, 3], [3], [])
    assert not tail.after(at)[1]


def test_who_falls_behind_what_is_kept_finds_a_gap_and_who_does_not_finds_none() -> None:
    tail = Tail(messages=3)
    for number in range(1, 6):
        sealed(tail, number)

    assert (events(tail, 0), tail.after(0)[1]) == ([3, 4, 5], True)
    assert (events(tail, 2), tail.after(2)[1]) == ([3, 4, 5], False)


def test_bytes_are_bounded_and_the_newest_message_is_always_kept() -> None:
    tail = Tail(size=1)
    sealed(tail, 1)
    sealed(tail, 2)

    assert events(tail, 0) == [2]


def test_what_did_not_fit_before_it_was_sealed_is_a_gap_too() -> None:
    tail = Tail()
    dropped = sum(tail.put(event(number)) for number in range(10_500))
    while not tail.is_sealed:
        tail.seal(0.0)

    found, has_gap = tail.after(0)
    assert (dropped, has_gap) == (500, True)
    assert decode(found[0].body)[0] == event(500)


def test_a_message_has_a_bounded_size() -> None:
    tail = Tail()
    for number in range(100):
        tail.put(event(number, blocks=5000))
    while not tail.is_sealed:
        tail.seal(0.0)

    assert max(len(each.body) for each in tail.after(0)[0]) < 512 * 1024
    assert len(tail.after(0)[0]) > 10


def test_an_event_that_cannot_be_written_is_counted_and_costs_no_other() -> None:
    tail = Tail()
    tail.put(PrefixLearned(POOL, EndpointId("x" * 70_000), (1,)))
    tail.put(event(1))

    found = tail.seal(0.0)

    assert (found.shared, found.unwritable) == (1, 1)
    assert events(tail, 0) == [1]
