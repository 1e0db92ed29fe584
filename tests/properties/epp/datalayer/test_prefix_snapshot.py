"""What one index holds, written down and learned by another: the same matches, and what goes first goes first there."""

from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.member import Member
from epp.datalayer.producers import prefix_facts
from epp.datalayer.producers.prefix_index import PrefixIndex, chain
from epp.domain import Endpoint, EndpointId, PoolId

POOL = PoolId("p")
MEMBERS = [Member(slot, Endpoint(EndpointId(f"10.0.0.{slot}:80"), "h", 80, "n")) for slot in range(3)]
texts = st.text("ab", min_size=1, max_size=12)
slots = st.integers(0, 2)
steps = st.lists(st.tuples(slots, texts, st.none() | st.integers(0, 5)), max_size=25)


def blocks_of(text: str) -> tuple[int, ...]:
    return chain(text.encode(), b"", 1, 20)


def made(capacity: int) -> PrefixIndex:
    index = PrefixIndex()
    for member in MEMBERS:
        index.set_capacity(member.slot, capacity)
    return index


@given(steps, st.integers(5, 40), st.lists(texts, max_size=10))
def test_a_copy_matches_as_the_original_does_and_forgets_in_the_same_order(
    steps: list[tuple[int, str, int | None]], capacity: int, more: list[str]
) -> None:
    original, copy = made(capacity), made(capacity)
    for slot, text, unlearned_from in steps:
        if unlearned_from is None:
            original.learn(slot, blocks_of(text))
        else:
            original.unlearn(slot, blocks_of(text), unlearned_from)

    by_id = {member.id: member.slot for member in MEMBERS}
    for event in prefix_facts.held(POOL, MEMBERS, original):
        copy.hold(by_id[event.endpoint], event.parts)

    known = [blocks_of(text) for _, text, _ in steps]
    assert [copy.match(blocks) for blocks in known] == [original.match(blocks) for blocks in known]
    assert [copy.held(slot) for slot in by_id.values()] == [original.held(slot) for slot in by_id.values()]
    for number, text in enumerate(more):
        for index in (original, copy):
            index.learn(number % 3, blocks_of(text + "c"))
    assert [copy.match(blocks) for blocks in known] == [original.match(blocks) for blocks in known]
