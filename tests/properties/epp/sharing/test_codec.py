"""What one replica writes, another reads; anything else is refused, not misread."""

import contextlib
import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.domain import (
    AnswerStored,
    EndpointEjected,
    EndpointId,
    EndpointReturned,
    EngineMetrics,
    Feedback,
    FeedbackForwarded,
    ModelsShared,
    PickId,
    PickPlaced,
    PickSettled,
    PoolId,
    PrefixesHeld,
    PrefixLearned,
    PrefixUnlearned,
    ReplicaAlive,
    RunId,
    ScrapeFault,
    ScrapeTaken,
    ServedModel,
    ServerDrained,
    SessionBound,
    SpeedObserved,
)
from epp.sharing import codec
from epp.sharing.outbox import Outbox

names = st.text(max_size=40)
counts = st.none() | st.integers(0, 2**40)
seconds = st.none() | st.floats(0, 1e6)
prefixes = st.builds(
    PrefixLearned,
    names.map(PoolId),
    names.map(EndpointId),
    st.lists(st.integers(0, 2**64 - 1), max_size=50).map(tuple),
    st.integers(0, 2**64 - 1),
)
feedbacks = st.builds(
    Feedback,
    pick_id=names.map(PickId),
    pool=names.map(PoolId),
    is_final=st.booleans(),
    served=st.none() | names.map(EndpointId),
    status=counts,
    flags=st.lists(names, max_size=3).map(tuple),
    attempts=st.integers(1, 9),
    ttft_seconds=seconds,
    duration_seconds=seconds,
    prompt_tokens=counts,
    completion_tokens=counts,
    cached_tokens=counts,
    reasoning_tokens=counts,
    response_bytes=counts,
    stored_id=st.none() | names,
    failed_attempt=counts,
).map(FeedbackForwarded)
token_counts = st.integers(0, 2**32 - 1)
leg = st.tuples(st.text(min_size=1, max_size=40).map(EndpointId), token_counts)


def placed(pool: str, pick_id: str, legs: list[tuple[tuple[EndpointId, int], int]], counts_answers: bool) -> PickPlaced:
    prompts = tuple(prompt for _, prompt in legs) if counts_answers else ()
    return PickPlaced(PoolId(pool), PickId(pick_id), tuple(each for each, _ in legs), prompts)


placements = st.builds(placed, names, names, st.lists(st.tuples(leg, token_counts), max_size=4), st.booleans())
settlements = st.builds(PickSettled, names.map(PoolId), names.map(PickId))
pools, endpoints, runs, stamps = names.map(PoolId), names.map(EndpointId), names.map(RunId), st.integers(0, 2**64 - 1)
blocks = st.lists(stamps, max_size=50).map(tuple)
unlearned = st.builds(PrefixUnlearned, pools, endpoints, blocks, st.integers(0, 2**32 - 1), stamps)
alive = st.builds(ReplicaAlive, pools, runs, stamps, stamps, st.none() | blocks)
bound = st.builds(SessionBound, pools, names, st.none() | endpoints.filter(bool), stamps)
stored = st.builds(AnswerStored, pools, endpoints, names, st.none() | names, stamps)
ejected = st.builds(EndpointEjected, pools, endpoints, runs, names, stamps)
returned = st.builds(EndpointReturned, pools, endpoints, runs, stamps)
line = st.tuples(*[st.floats(allow_nan=False)] * 6)
speeds = st.builds(SpeedObserved, pools, endpoints, runs, st.lists(line, max_size=3).map(tuple), stamps)
drains = st.builds(ServerDrained, names, st.floats(0, 1e6))
parts = st.lists(st.lists(stamps, max_size=5), max_size=4).map(
    lambda found: tuple(b"".join(block.to_bytes(8, "little") for block in part) for part in found)
)
held = st.builds(PrefixesHeld, pools, endpoints, parts)
small, models = st.integers(0, 2**40), st.frozensets(names, max_size=3)
reals = st.none() | st.floats(allow_nan=False, allow_infinity=False)
metrics = st.builds(
    EngineMetrics, *[st.none() | small] * 2, reals, models, models, small, *[st.none() | small] * 2, reals, reals
)
scraped = st.builds(ScrapeTaken, pools, endpoints, runs, metrics | st.sampled_from(ScrapeFault))
model_lists = st.lists(names.map(lambda name: ServedModel(name, {"id": name, "root": None})), max_size=3).map(tuple)
listed = st.builds(ModelsShared, pools, endpoints, model_lists)
rare = held | scraped | listed | unlearned | alive | bound | ejected | returned | speeds | drains
events = st.lists(prefixes | feedbacks | placements | settlements | stored | rare, max_size=8)


@given(events)
def test_events_survive_the_way(sent) -> None:
    assert codec.decode(codec.join(map(codec.encode, sent))) == tuple(sent)


@given(events, st.data())
def test_a_cut_message_gives_a_prefix_of_its_events_or_an_error(sent, data) -> None:
    message = codec.join(map(codec.encode, sent))
    cut = data.draw(st.integers(0, len(message)))
    with contextlib.suppress(codec.MalformedError):
        read = codec.decode(message[:cut])
        assert read == tuple(sent[: len(read)])


@given(events)
def test_a_frame_of_a_kind_that_is_not_known_is_skipped(sent) -> None:
    strange = struct.pack("<cI", b"?", 5) + b"later"
    message = strange + codec.join(codec.encode(event) + strange for event in sent)
    assert codec.decode(message) == tuple(sent)


@given(st.binary(max_size=300))
def test_noise_is_an_error_or_harmless(noise: bytes) -> None:
    try:
        read = codec.decode(noise)
    except codec.MalformedError:
        return
    assert codec.decode(codec.join(map(codec.encode, read))) == read


@pytest.mark.parametrize(
    "odd", [{"attempts": None}, {"prompt_tokens": -1}, {"duration_seconds": "1"}, {"pick_id": 5}, {"flags": 5}]
)
def test_a_feedback_that_no_picker_can_have_written_is_refused(odd: dict[str, object]) -> None:
    fields = {**Feedback(PickId("r-1"), PoolId("p"), True)._asdict(), **odd}
    payload = orjson.dumps(fields)
    with pytest.raises(codec.MalformedError):
        codec.decode(struct.pack("<cI", b"F", len(payload)) + payload)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 20), st.integers(1, 300))
def test_the_outbox_keeps_the_newest_within_its_bounds(frames: list[bytes], count: int, size: int) -> None:
    outbox: Outbox[bytes] = Outbox(count, size)
    dropped = sum(outbox.put(frame) for frame in frames)
    kept: list[bytes] = []
    while len(outbox):
        kept += outbox.take(64)
    assert kept == frames[dropped:]
    assert len(kept) <= count
    assert sum(map(len, kept)) <= size


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 400))
def test_frames_put_back_are_taken_again_in_their_order(frames: list[bytes], size: int) -> None:
    outbox: Outbox[bytes] = Outbox()
    for frame in frames:
        outbox.put(frame)
    assert outbox.put_back(outbox.take(size)) == 0
    assert outbox.take(1_000_000) == frames
