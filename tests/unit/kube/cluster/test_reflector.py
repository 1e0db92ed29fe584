"""What the machine of list and watch asks next, by what it was answered."""

from random import Random

import pytest

from gateway.kube.sources.cluster.reflector import (
    ABSENT_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    Event,
    EventType,
    Item,
    List,
    Page,
    Phase,
    Reflector,
    Wait,
    Watch,
)


def reflector(*versions: str) -> Reflector[str]:
    return Reflector(versions or ("v1",), Random(1))


def following(*objects: str) -> Reflector[str]:
    """One that has listed these objects at version 5, and watches."""
    found = reflector()
    found.next_step()
    found.listed(Page([Item(each, each) for each in objects], "5"))
    found.next_step()
    found.opened()
    return found


def added(name: str, version: str) -> Event[str]:
    return Event(EventType.ADDED, Item(name, name), version)


def waits(machine: Reflector[str]) -> float:
    step = machine.next_step()
    assert isinstance(step, Wait), step
    return step.seconds


def test_a_list_comes_in_pages_and_counts_when_it_is_whole() -> None:
    machine = reflector()

    assert machine.next_step() == List("v1", "")
    assert not machine.listed(Page([Item("a", "a")], "5", "more"))
    assert (machine.items, machine.is_settled) == ((), False)
    assert machine.next_step() == List("v1", "more")
    assert machine.listed(Page([Item("b", "b")], "5"))
    assert (machine.items, machine.is_settled) == (("a", "b"), True)
    assert machine.next_step() == Watch("v1", "5")


def test_a_watch_goes_on_from_the_last_bookmark() -> None:
    machine = following("a")

    assert machine.changed(added("b", "6"))
    assert not machine.changed(Event(EventType.BOOKMARK, None, "9"))
    machine.ended(300)
    assert machine.next_step() == Watch("v1", "9")
    assert machine.items == ("a", "b")


def test_an_object_as_it_was_before_changes_nothing() -> None:
    machine = following("a")

    assert not machine.changed(Event(EventType.MODIFIED, Item("a", "a"), "6"))
    assert machine.changed(Event(EventType.MODIFIED, Item("a", "other"), "7"))
    assert machine.changed(Event(EventType.DELETED, Item("a", "other"), "8"))
    assert not machine.changed(Event(EventType.DELETED, Item("a", "other"), "8"))


def test_a_version_that_is_too_old_lists_at_once_and_keeps_the_objects_until_then() -> None:
    machine = following("a")

    machine.refused(410)
    assert machine.next_step() == List("v1", "")
    assert machine.items == ("a",)
    assert machine.listed(Page([Item("b", "b")], "20"))
    assert machine.items == ("b",)


def test_a_watch_that_is_always_too_old_is_not_asked_for_without_pause() -> None:
    machine = following()
    machine.refused(410)
    machine.next_step()
    machine.listed(Page([], "5"))
    machine.next_step()
    machine.opened()

    machine.refused(410)
    assert waits(machine) > 0


def test_a_list_whose_continuation_is_too_old_begins_anew() -> None:
    machine = reflector()
    machine.next_step()
    machine.listed(Page([Item("a", "a")], "5", "more"))

    machine.refused(410)
    assert machine.next_step() == List("v1", "")
    machine.listed(Page([Item("b", "b")], "6"))
    assert machine.items == ("b",)


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_errors_are_asked_again_after_longer_and_longer_pauses(status: int) -> None:
    machine, pauses = following("a"), []
    for _ in range(8):
        machine.refused(status)
        pauses.append(waits(machine))
        assert machine.next_step() == Watch("v1", "5")

    assert pauses[0] <= 0.5
    assert pauses[:4] == sorted(pauses[:4])
    assert LONGEST_RETRY_SECONDS / 2 <= pauses[-1] <= LONGEST_RETRY_SECONDS
    assert (machine.items, machine.phase) == (("a",), Phase.FAILING)


def test_the_server_says_how_long_to_wait_within_reason() -> None:
    machine = following()

    machine.refused(429, retry_after=7)
    assert waits(machine) == 7
    machine.refused(429, retry_after=10_000)
    assert waits(machine) == 60


def test_a_watch_that_lasted_makes_the_next_failure_the_first() -> None:
    machine = following()
    for _ in range(8):
        machine.lost()
        machine.next_step()

    machine.lost(lasted=60)
    assert waits(machine) <= 0.5


def test_a_watch_that_ends_at_once_is_a_failure() -> None:
    machine = following()

    machine.ended(0.01)
    assert waits(machine) > 0
    machine.ended(200)
    assert isinstance(machine.next_step(), Watch)


def test_a_server_that_is_gone_takes_nothing_away() -> None:
    machine = following("a")
    for _ in range(100):
        machine.lost()
        assert waits(machine) <= LONGEST_RETRY_SECONDS

    assert (machine.items, machine.phase) == (("a",), Phase.FOLLOWING)
    assert machine.next_step() == Watch("v1", "5")


def test_what_is_forbidden_holds_nobody_and_is_tried_again() -> None:
    machine = reflector()
    machine.next_step()

    machine.refused(403)
    assert (machine.phase, machine.is_settled, machine.verb) == (Phase.FORBIDDEN, True, "list")
    assert waits(machine) <= ABSENT_RETRY_SECONDS
    assert machine.next_step() == List("v1", "")


def test_where_only_watching_is_forbidden_lists_bring_the_news() -> None:
    machine = reflector()
    for version in ("5", "6"):
        assert isinstance(machine.next_step(), List)
        machine.listed(Page([Item(version, version)], version))
        assert isinstance(machine.next_step(), Watch)
        machine.refused(403)
        assert (machine.phase, machine.verb) == (Phase.FORBIDDEN, "watch")
        assert machine.items == (version,)
        assert waits(machine) > 0


def test_permission_that_is_taken_away_leaves_what_was_read() -> None:
    machine = following("a")

    machine.refused(403)
    assert machine.items == ("a",)


def test_a_resource_that_is_not_installed_holds_nobody_and_is_noticed_later() -> None:
    machine = reflector()
    machine.next_step()

    machine.refused(404)
    assert (machine.phase, machine.is_settled) == (Phase.MISSING, True)
    assert waits(machine) <= ABSENT_RETRY_SECONDS
    machine.next_step()
    machine.listed(Page([Item("a", "a")], "5"))
    machine.next_step()
    machine.opened()
    assert (machine.phase, machine.items) == (Phase.FOLLOWING, ("a",))


def test_objects_go_with_their_resource_once_the_server_is_sure() -> None:
    machine, changes = following("a"), []
    for _ in range(3):
        changes.append(machine.refused(404))
        waits(machine)

    assert changes == [False, False, True]
    assert (machine.items, machine.phase) == ((), Phase.MISSING)


def test_versions_are_tried_in_order() -> None:
    machine = reflector("v1", "v1beta1")

    assert machine.next_step() == List("v1", "")
    machine.refused(404)
    assert machine.next_step() == List("v1beta1", "")
    machine.listed(Page([], "5"))
    assert machine.next_step() == Watch("v1beta1", "5")


def test_a_list_without_a_version_is_no_reason_to_list_at_once() -> None:
    machine = reflector()
    machine.next_step()

    machine.listed(Page([Item("a", "a")], ""))
    assert waits(machine) > 0
    assert machine.next_step() == List("v1", "")
