"""What a fused process keeps of bodies between the two questions about a request."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.router.kept import KEPT_LIMIT, KEPT_LIMIT_BYTES, KEPT_SECONDS, KeptBodies, KeptBody

DOCUMENT = {"model": "m"}


def test_a_body_is_taken_once() -> None:
    kept = KeptBodies("a")
    id_ = kept.keep(b"{}", DOCUMENT, 1.0)

    assert kept.take(id_) == KeptBody(b"{}", DOCUMENT, 1.0)
    assert kept.take(id_) is None


def test_an_id_of_another_process_is_not_known() -> None:
    kept = KeptBodies("a")
    kept.keep(b"{}", None, 1.0)

    assert kept.take(KeptBodies("b").keep(b"{}", None, 1.0)) is None


def test_what_nobody_takes_is_forgotten() -> None:
    kept = KeptBodies("a")
    old = kept.keep(b"{}", None, 1.0)
    kept.keep(b"{}", None, 1.1 + KEPT_SECONDS)

    assert kept.take(old) is None
    assert len(kept) == 1


@given(st.lists(st.sampled_from([0, 1000, KEPT_LIMIT_BYTES // 3, KEPT_LIMIT_BYTES]), max_size=30))
def test_bytes_are_bounded_and_the_earliest_go_first(sizes: list[int]) -> None:
    kept, zeros = KeptBodies("a"), bytes(KEPT_LIMIT_BYTES)
    ids = [kept.keep(zeros[:size], None, 1.0) for size in sizes]
    found = [kept.take(id_) for id_ in ids]

    assert sum(len(each.body) for each in found if each is not None) <= KEPT_LIMIT_BYTES
    first = next((at for at, each in enumerate(found) if each is not None), len(found))
    assert all(found[first:])


def test_bodies_are_bounded_in_number() -> None:
    kept = KeptBodies("a")
    for _ in range(KEPT_LIMIT + 10):
        kept.keep(b"", None, 1.0)

    assert len(kept) == KEPT_LIMIT
