"""Traces in every format, told by their first line; what is broken is named with its line."""

import json
from pathlib import Path

import pytest

from lab.traces.reading import read
from lab.traces.trace import Trace, TracedRequest, TraceError

MOST = 1000
MOONCAKE = [
    {"timestamp": 5000, "input_length": 1200, "output_length": 30, "hash_ids": [0, 1, 2]},
    {"timestamp": 4000, "input_length": 700, "output_length": 5, "hash_ids": [0, 9]},
]
RECORDED = {
    "timestamp": 1_700_000_000_000, "input_length": 128, "output_length": 40, "hash_ids": [7, 8], "block_size": 64,
    "session_id": "ab", "pool": "default/a", "model": "m", "endpoint": "10.0.0.1:8000", "status": 200,
    "prompt_tokens": 256, "cached_tokens": 128, "ttft_ms": 100.0, "duration_ms": 1500.0,
}  # fmt: skip
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n{},4808,10\n{},110,27\n"
AGENTX = {
    "block_size": 64,
    "requests": [
        {"type": "s", "t": 0.0, "in": 128, "out": 20, "hash_ids": [1, 2], "api_time": 1.0},
        {"type": "subagent", "t": 1.0, "requests": [{"type": "n", "t": 1.5, "in": 64, "out": 5, "hash_ids": [9]}]},
        {"type": "s", "t": 4.0, "in": 192, "out": 20, "hash_ids": [1, 2, 3]},
    ],
}
SHAREGPT = [
    {"id": "a", "conversations": [
        {"from": "human", "value": "x" * 600}, {"from": "gpt", "value": "y" * 80},
        {"from": "human", "value": "z" * 600}, {"from": "gpt", "value": "y" * 40},
    ]},
]  # fmt: skip


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def trace(folder: Path, text: str, most: int = MOST, pool: str | None = None) -> Trace:
    file = folder / "trace"
    file.write_text(text)
    return read(file, most, pool)


def problem(folder: Path, text: str | bytes) -> str:
    file = folder / "trace"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TraceError) as raised:
        read(file, MOST)
    return str(raised.value).removeprefix(str(file))


def test_mooncakes_requests_are_in_order_from_time_zero(tmp_path: Path) -> None:
    found = trace(tmp_path, lines(*MOONCAKE))

    assert found.format == "Mooncake"
    assert found.requests == (
        TracedRequest(0.0, 700, 5, (0, 9)),
        TracedRequest(1.0, 1200, 30, (0, 1, 2)),
    )


def test_a_recording_has_sessions_and_the_tokens_that_servers_counted(tmp_path: Path) -> None:
    unknown = {key: value for key, value in RECORDED.items() if key not in ("prompt_tokens", "output_length")}
    found = trace(tmp_path, lines(RECORDED, unknown))

    assert found.format == "recording"
    first, second = found.requests
    assert first == TracedRequest(0.0, 256, 40, (7, 8), 128, "ab", 1.5, "default/a", 0.5, 0.1)
    assert (second.prompt_tokens, second.block_tokens, second.output_tokens) == (256, 128, None)  # by the same ratio


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2023-11-16 18:17:03.9799600", "2023-11-16 18:17:05.9799600"),
        ("2024-05-10 00:00:00.009930+00:00", "2024-05-10 00:00:02.009930+00:00"),
    ],
)
def test_azures_times_of_both_years_are_read(tmp_path: Path, first: str, second: str) -> None:
    found = trace(tmp_path, AZURE.format(first, second))

    assert [(each.prompt_tokens, each.output_tokens, each.blocks) for each in found.requests] == [
        (4808, 10, ()), (110, 27, ()),
    ]  # fmt: skip
    assert found.seconds == pytest.approx(2.0)


def test_subagents_are_sessions_beside_their_own(tmp_path: Path) -> None:
    found = trace(tmp_path, lines(AGENTX))

    assert [(each.at, each.session) for each in found.requests] == [(0.0, "0"), (1.5, "0.1"), (4.0, "0")]


@pytest.mark.parametrize("text", [json.dumps(SHAREGPT), lines(*SHAREGPT), json.dumps(SHAREGPT, indent=2)])
def test_conversations_become_requests_with_all_that_was_said_before(tmp_path: Path, text: str) -> None:
    found = trace(tmp_path, text)

    first, second = found.requests
    assert not found.has_times
    assert (first.prompt_tokens, first.output_tokens, len(first.blocks)) == (150, 20, 2)
    assert (second.prompt_tokens, second.output_tokens, len(second.blocks)) == (320, 10, 5)
    assert second.blocks[:2] == first.blocks


def test_messages_by_role_are_conversations_too(tmp_path: Path) -> None:
    record = {"messages": [{"role": "user", "content": "x" * 40}, {"role": "assistant", "content": "y" * 8}]}

    assert [each.prompt_tokens for each in trace(tmp_path, lines(record)).requests] == [10]


def test_only_so_many_requests_are_read(tmp_path: Path) -> None:
    text = lines(*[{**MOONCAKE[0], "timestamp": number} for number in range(10)])

    assert len(trace(tmp_path, text, most=3).requests) == 3
    assert trace(tmp_path, text, most=3).is_cut
    assert not trace(tmp_path, text, most=10).is_cut


def test_of_several_pools_one_is_chosen(tmp_path: Path) -> None:
    text = lines(RECORDED, {**RECORDED, "pool": "default/b"})

    assert problem(tmp_path, text) == (":1: requests of several pools: choose one with --pool: default/a, default/b")
    assert len(trace(tmp_path, text, pool="default/b").requests) == 1


def test_a_last_line_whose_writer_was_stopped_is_left_out(tmp_path: Path) -> None:
    assert len(trace(tmp_path, lines(*MOONCAKE) + '{"timestamp": 60').requests) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: there is nothing in it"),
        ("[]", ":1: there is no request in it"),
        ("hello\n", ":1: this begins no trace: expected a recording"),
        ("{}\n", ":1: no request that is known: expected a recording"),
        (lines(MOONCAKE[0]) + "{oops}\n" + lines(MOONCAKE[1]), ":2: not JSON: "),
        (lines(MOONCAKE[0], [1]), ":2: expected an object, got [1]"),
        (lines(MOONCAKE[0], {"timestamp": 1}), ":2: input_length: required"),
        (lines({**MOONCAKE[0], "timestamp": "1"}), ":1: timestamp: expected a time, got '1'"),
        (lines({**MOONCAKE[0], "timestamp": -1}), ":1: timestamp: expected a time, got -1"),
        (lines({**MOONCAKE[0], "input_length": 1.5}), ":1: input_length: expected 0 to 10000000 tokens, got 1.5"),
        (lines({**MOONCAKE[0], "input_length": True}), ":1: input_length: expected 0 to 10000000 tokens, got True"),
        (lines({**MOONCAKE[0], "hash_ids": ["a"]}), ":1: hash_ids: expected a list of whole numbers, got ['a']"),
        (lines({**MOONCAKE[0], "block_size": 0}), ":1: block_size: expected 1 to 65536, got 0"),
        (AZURE.format("2023-11-16 18:17:03", "noon"), ":3: TIMESTAMP: expected a time, got 'noon'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1\n", ":2: expected 3 columns, got 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,-1,2\n", ":2: ContextTokens: expected 0 to"),
        (lines({"requests": [{"type": "x"}]}), ":1: requests[0].type: expected n, s or subagent, got 'x'"),
        (json.dumps([*SHAREGPT, 7]), ":1: [1]: expected an object, got 7"),
        (json.dumps([{"conversations": [{"value": "x"}]}]), ":1: conversations[].from: required"),
        (b"\x1f\x8b\x08\x00binary", ":1: this begins no trace"),
    ],
)
def test_what_is_broken_is_one_line_with_its_place(tmp_path: Path, text: str | bytes, words: str) -> None:
    found = problem(tmp_path, text)

    assert found.startswith(words)
    assert "\n" not in found
