"""What is known of names after a round of lookups."""

from gateway.kube.sources.resolve import GRACE_SECONDS, Answer, fold

NAMES = frozenset({"a"})
OLD = {"a": Answer(("10.0.0.1",), 100.0)}


def test_a_fresh_answer_replaces_the_old_one() -> None:
    assert fold(OLD, NAMES, {"a": ("10.0.0.2",)}, 101.0) == {"a": Answer(("10.0.0.2",), 101.0)}


def test_a_name_that_stops_resolving_keeps_its_addresses_for_a_grace() -> None:
    assert fold(OLD, NAMES, {"a": ()}, 100.0 + GRACE_SECONDS - 0.1) == OLD
    assert fold(OLD, NAMES, {"a": ()}, 100.0 + GRACE_SECONDS) == {}


def test_a_lookup_that_hangs_keeps_what_is_known() -> None:
    assert fold(OLD, NAMES, {}, 10_000.0) == OLD


def test_a_name_that_nobody_wants_is_forgotten() -> None:
    assert fold(OLD, frozenset(), {"a": ("10.0.0.2",)}, 101.0) == {}
