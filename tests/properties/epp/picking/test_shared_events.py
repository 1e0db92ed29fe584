"""What other replicas share folds to one state, in whatever order it comes and however often."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.producers.prefix_index import chain
from epp.domain import (
    AnswerStored,
    EndpointEjected,
    EndpointReturned,
    PickPlaced,
    PickSettled,
    PrefixLearned,
    PrefixUnlearned,
    ReplicaAlive,
    RunId,
    SessionBound,
    SharedEvent,
    SpeedObserved,
    pick_id_of,
)
from epp.picking.picker import Picker
from tests.unit.epp.picking.driven import IDS, POOL, endpoints, picker

RUNS = [RunId("a-000001"), RunId("b-000002")]
SESSIONS, STORED = ("s", "t"), ("resp_1", "conv_2")
TEXTS = ("ab", "abc", "abd", "b", "abcd")
CHAINS = {text: chain(text.encode(), b"", 1, 10) for text in TEXTS}

runs, ids, stamps, numbers = st.sampled_from(RUNS), st.sampled_from(IDS), st.integers(1, 6), st.integers(1, 6)
chains = st.sampled_from(sorted(CHAINS.values()))
requests = st.builds(pick_id_of, runs, numbers)


def alive(run: RunId, beat: int, is_listed: bool) -> ReplicaAlive:
    """Of a run that places one request with each beat and settles every second one at once."""
    live = tuple(number for number in range(1, beat + 1) if number % 2)
    return ReplicaAlive(POOL, run, beat, beat if is_listed else 0, live if is_listed else None)


def speed(run: RunId, id_: object, stamp: int) -> SpeedObserved:
    line = (float(stamp), 1.0 * stamp, 100.0 * stamp, 0.5 * stamp, 20_000.0 * stamp, 60.0 * stamp)
    return SpeedObserved(POOL, id_, run, (line, line, line), stamp)  # type: ignore[arg-type]


shared: st.SearchStrategy[SharedEvent] = st.one_of(
    st.builds(PrefixLearned, st.just(POOL), ids, chains, stamps),
    st.builds(PrefixUnlearned, st.just(POOL), ids, chains, st.integers(0, 3), stamps),
    requests.map(lambda pick_id: PickPlaced(POOL, pick_id, ((IDS[int(pick_id[-1], 16) % 3], 10),))),
    st.builds(PickSettled, st.just(POOL), requests),
    st.builds(alive, runs, numbers, st.booleans()),
    st.builds(SessionBound, st.just(POOL), st.sampled_from(SESSIONS), st.none() | ids, stamps),
    st.builds(AnswerStored, st.just(POOL), ids, st.sampled_from(STORED), st.none() | st.sampled_from(SESSIONS), stamps),
    st.builds(EndpointEjected, st.just(POOL), ids, runs, st.just("requests fail"), stamps),
    st.builds(EndpointReturned, st.just(POOL), ids, runs, stamps),
    st.builds(speed, runs, ids, stamps),
)
FIGURES = ("others_in_flight", "others_in_flight_tokens", "standing", "prefill_tokens_per_second", "speed_samples")


def state(events: Sequence[SharedEvent]) -> object:
    """All that a decision and a person can see of them."""
    made = picker(replica="own")
    for event in events:
        made.apply(event, 1.0)
    described = {id_: [each[figure] for figure in FIGURES] for id_, each in endpoints(made, 1.0).items()}
    return described, matches(made), homes(made), avoided(made)


def matches(made: Picker) -> object:
    index = made.pools._builtin[POOL].prefixes.index
    return {text: dict(index.match(blocks)) for text, blocks in CHAINS.items()}


def homes(made: Picker) -> object:
    pool, known = made.pools.states[POOL], made.pools._builtin[POOL]
    sessions = [known.sessions.sessions.endpoint(session, 1.0) for session in SESSIONS]
    return sessions, [(pool.home(stored_id), pool.stored.session(stored_id)) for stored_id in STORED]


def avoided(made: Picker) -> object:
    found = made.pools.states[POOL].candidates(1.0, made._random)
    return {endpoint.id for endpoint in found.endpoints}


@given(st.lists(shared, max_size=12), st.data())
def test_any_order_and_repetition_folds_to_the_same_state(events: list[SharedEvent], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    assert state(data.draw(st.permutations([*events, *repeated]))) == state(events)
