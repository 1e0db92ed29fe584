"""Session bindings are bounded and expire."""

from epp.datalayer.producers import session_map as sessions
from epp.datalayer.producers.session_map import Sessions
from epp.domain import EndpointId

A, B = EndpointId("a"), EndpointId("b")


def test_a_binding_holds_until_it_was_not_used_for_its_time() -> None:
    bound = Sessions()
    bound.bind("s", A, 0.0, 10.0)
    assert bound.endpoint("s", 9.0) == A
    bound.bind("s", A, 9.0, 10.0)
    assert bound.endpoint("s", 18.0) == A
    assert bound.endpoint("s", 19.0) is None


def test_expired_bindings_are_dropped() -> None:
    bound = Sessions()
    bound.bind("old", A, 0.0, 1.0)
    bound.bind("new", B, 5.0, 10.0)
    bound.expire(6.0)
    assert len(bound) == 1


def test_the_number_of_bindings_is_bounded() -> None:
    bound = Sessions()
    for number in range(1_000_000):
        bound.bind(str(number), A, 0.0, 1.0)
    assert len(bound) == sessions.SESSIONS_LIMIT
    assert bound.endpoint("0", 0.5) is None
    assert bound.endpoint("999999", 0.5) == A


def test_a_long_id_is_bound_without_being_kept() -> None:
    bound = Sessions()
    bound.bind("s" * 60_000, A, 0.0, 10.0)
    assert bound.endpoint("s" * 60_000, 1.0) == A
    assert bound.endpoint("s" * 60_000 + "t", 1.0) is None
    assert max(map(len, bound._bound)) <= sessions.ID_LIMIT
