"""Whatever is in a file, it is a trace or one line that says why not."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from lab.traces.reading import read
from lab.traces.replay import replay_of
from lab.traces.trace import TraceError
from lab.workloads.conversations import call_of

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)

FIELDS = st.sampled_from([
    "timestamp", "input_length", "output_length", "hash_ids", "block_size", "session_id", "requests", "type", "t", "in",
    "out", "conversations", "from", "value", "pool", "duration_ms", "prompt_tokens",
])  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4), max_leaves=8
)
LINES = st.lists(st.dictionaries(FIELDS, VALUES, max_size=6) | VALUES, max_size=4).map(
    lambda records: "\n".join(map(json.dumps, records)).encode()
)
SMALL = st.integers(0, 3000)
REQUESTS = st.fixed_dictionaries(
    {"timestamp": st.integers(0, 60_000), "input_length": SMALL, "hash_ids": st.lists(st.integers(0, 20), max_size=8)},
    optional={"output_length": st.integers(0, 500), "session_id": st.sampled_from("ab"), "duration_ms": SMALL,
              "block_size": st.sampled_from([16, 64, 512])},
)  # fmt: skip


def written(data: bytes):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace"
        file.write_bytes(data)
        return read(file, 100)


@given(st.binary(max_size=200) | LINES | LINES.map(lambda data: b"[" + data.replace(b"\n", b",") + b"]"))
def test_any_file_is_a_trace_or_one_line(data: bytes) -> None:
    try:
        trace = written(data)
    except TraceError as error:
        problem = str(error)
    else:
        assert trace.requests
        assert all(request.at >= 0 for request in trace.requests)
        return
    assert "\n" not in problem


@given(st.lists(REQUESTS, min_size=1, max_size=12), st.integers(0, 3))
def test_a_replay_has_each_request_once_with_its_lengths_and_shared_blocks(
    records: list[dict[str, object]], seed: int
) -> None:
    trace = written("\n".join(map(json.dumps, records)).encode() + b"\n")
    replay = replay_of(trace, 100_000)

    calls = [
        call_of(conversation, turn, 16)
        for conversation in replay.conversations(1.0, seed)
        for turn in range(len(conversation.turns))
    ]

    kept = [each for each in trace.requests if each.prompt_tokens]
    assert sorted(call.request.prompt_tokens for call in calls) == sorted(each.prompt_tokens for each in kept)
    assert replay.left_out == len(trace.requests) - len(kept)
    in_order = sorted(replay.conversations(1.0, seed), key=lambda each: each.id)
    for lane, conversation in zip(replay.lanes, in_order, strict=True):
        for request, turn in zip(lane, conversation.turns, strict=True):
            assert len(turn.answer.tokens) == request.output_tokens
