"""Frames as replicas of the releases so far wrote them: each release reads them all, whatever it writes itself."""

import pytest

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
    SharedEvent,
    SpeedObserved,
)
from epp.sharing import codec

POOL, SERVER, RUN, PICK = PoolId("p/a"), EndpointId("e1:800"), RunId("r-000001"), PickId("r-0000010001")
RECORDED: dict[str, SharedEvent] = {
    # One stream for all pools.
    "50150000000300702f61060065313a3830300700000000000000": PrefixLearned(POOL, SERVER, (7,)),
    "53150000000300702f61060065313a3830300600726573705f31": AnswerStored(POOL, SERVER, "resp_1"),
    # A stream for each pool.
    "4c1f0000000300702f610c00722d30303030303130303031060065313a38303007000000": PickPlaced(POOL, PICK, ((SERVER, 7),)),
    "45130000000300702f610c00722d30303030303130303031": PickSettled(POOL, PICK),
    "702500000003000000000000000300702f61060065313a3830300700000000000000ffffffffffffffff": PrefixLearned(
        POOL, SERVER, (7, 2**64 - 1), 3
    ),
    "75290000000400000000000000010000000300702f61060065313a38303007000000000000000800000000000000": PrefixUnlearned(
        POOL, SERVER, (7, 8), 1, 4
    ),
    "683300000005000000000000000900000000000000010000000300702f610800722d3030303030310800000000000000"
    "0900000000000000": ReplicaAlive(POOL, RUN, 5, 9, (8, 9)),
    "621800000006000000000000000300702f61010073060065313a383030": SessionBound(POOL, "s", SERVER, 6),
    "73240000000700000000000000010000000300702f61060065313a3830300600726573705f31010073": AnswerStored(
        POOL, SERVER, "resp_1", "s", 7
    ),
    "782400000008000000000000000300702f61060065313a3830300800722d3030303030310300637574": EndpointEjected(
        POOL, SERVER, RUN, "cut", 8
    ),
    "791f00000009000000000000000300702f61060065313a3830300800722d303030303031": EndpointReturned(POOL, SERVER, RUN, 9),
    "764f0000000a000000000000000300702f61060065313a3830300800722d303030303031000000000000f03f0000000000000040"
    "0000000000000840000000000000104000000000000014400000000000001840": SpeedObserved(
        POOL, SERVER, RUN, ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0),), 10
    ),
    "44100000000000000000003e40060065313a383030": ServerDrained("e1:800", 30.0),
    "46520000007b227069636b5f6964223a22722d30303030303130303031222c22706f6f6c223a22702f61222c2269735f66696e616c223a"
    "747275652c22737461747573223a3230302c22666c616773223a5b2278225d7d": FeedbackForwarded(
        Feedback(PICK, POOL, True, None, 200, ("x",))
    ),
    # Scrapes and answers' tokens among them.
    "4c370000000300702f610c00722d30303030303130303031060065313a38303007000000000005000000060065323a3830300900000000"
    "0009000000": PickPlaced(POOL, PICK, ((SERVER, 7), (EndpointId("e2:800"), 9)), (5, 9)),
    "6d680000000300702f61060065313a3830300800722d3030303030317b226163746976655f6164617074657273223a5b2261225d2c2277"
    "616974696e67223a312c2272756e6e696e67223a322c226d61785f6164617074657273223a302c226b765f7573616765223a302e357d": (
        ScrapeTaken(POOL, SERVER, RUN, EngineMetrics(1, 2, 0.5, frozenset(("a",))))
    ),
    "6d2c0000000300702f61060065313a3830300800722d3030303030317b226661756c74223a226e6f745f7265616479227d": ScrapeTaken(
        POOL, SERVER, RUN, ScrapeFault.NOT_READY
    ),
    "61190000000300702f61060065313a3830305b7b226964223a226d227d5d": ModelsShared(
        POOL, SERVER, (ServedModel("m", {"id": "m"}),)
    ),
    "48190000000300702f61060065313a383030010000000000000000000000": PrefixesHeld(POOL, SERVER, (bytes(8),)),
}


@pytest.mark.parametrize("frame", RECORDED)
def test_what_a_release_wrote_is_read(frame: str) -> None:
    assert codec.decode(bytes.fromhex(frame)) == (RECORDED[frame],)


def test_what_a_later_release_adds_is_skipped_and_the_rest_is_read() -> None:
    known = bytes.fromhex(next(iter(RECORDED)))
    later = b"Z\x03\x00\x00\x00abc"
    assert codec.decode(later + known + later) == (RECORDED[known.hex()],)


def test_what_an_earlier_release_knows_is_written_as_it_reads_it() -> None:
    written = [codec.encode_earlier(event) for event in RECORDED.values()]
    kinds = {frame[:1] for frame in written if frame is not None}
    assert kinds == {b"P", b"S", b"F"}
    for frame, event in zip(written, RECORDED.values(), strict=True):
        if isinstance(event, PrefixLearned):
            assert codec.decode(frame or b"") == (PrefixLearned(POOL, SERVER, event.blocks),)
