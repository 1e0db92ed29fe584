"""`pointsman lab` as a person runs it: the same answer from one process and many, a report that stands alone."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest

from epp.config.defaults import DEFAULT_TEXT
from lab.__main__ import main

WORSE = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: random-picker}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: random-picker}]}]
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A minute of sessions with long prompts that go on."""
    random = Random(3)
    lines: list[tuple[float, str]] = []
    for session in range(30):
        at, blocks = random.uniform(0, 40_000), [1, 2, session % 3 + 10]
        for turn in range(4):
            blocks = [*blocks, 1000 * session + turn + 100]
            line = {"timestamp": at, "input_length": 512 * len(blocks), "output_length": 40, "hash_ids": blocks,
                          "session_id": str(session), "duration_ms": 900}  # fmt: skip
            lines.append((at, json.dumps(line)))
            at += 3000
    file = tmp_path / "trace.jsonl"
    file.write_text("".join(line + "\n" for _, line in sorted(lines)))
    return file


def answer(trace: Path, *words: str) -> tuple[dict[str, Any], str]:
    """The JSON document, and the page."""
    page, document = trace.with_name("lab.html"), trace.with_name("lab.json")
    main([str(trace), "--servers", "3", "--output", str(page), "--json", str(document), *words])
    return json.loads(document.read_text()), page.read_text()


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_the_answer_is_the_same_with_one_process_and_with_two(trace: Path) -> None:
    words = ("--rate", "1x..2x", "--steps", "2", "--seeds", "2")

    assert answer(trace, *words, "--jobs", "1") == answer(trace, *words, "--jobs", "2")


def test_a_clear_difference_is_named_and_so_is_noise(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worse = trace.with_name("worse.yaml")
    worse.write_text(WORSE)
    document, _ = answer(trace, "--seeds", "3", "--jobs", "1", "--config", "default", "--config", str(worse))

    row = document["rows"][1]
    assert row["config"] == str(worse)
    assert row["against_first"]["hit_ratio"]["verdict"] == "worse"
    assert row["against_first"]["good_share"]["verdict"] in ("equal", "noise", "worse")
    assert f"hit ratio of {worse} against default: worse at 1x" in capsys.readouterr().out


def test_the_same_twice_is_equal_or_noise(trace: Path) -> None:
    copy = trace.with_name("copy.yaml")
    copy.write_text(DEFAULT_TEXT)
    document, _ = answer(trace, "--seeds", "3", "--jobs", "1", "--config", "default", "--config", str(copy))

    assert {each["verdict"] for each in document["rows"][1]["against_first"].values()} == {"equal"}


def test_more_servers_until_the_limits_are_kept(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, page = answer(trace, "--servers", "1,3", "--seeds", "1", "--rate", "4x", "--jobs", "1")

    assert [row["servers"] for row in document["rows"]] == [1, 1, 3, 3]
    assert "servers" in page
    assert "One seed tells nothing of luck" in capsys.readouterr().out


def test_a_trace_of_a_moment_is_replayed_whole(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    line = {"input_length": 20, "output_length": 20, "session_id": "a"}
    file.write_text("".join(json.dumps({**line, "timestamp": 1000 + 20 * turn}) + "\n" for turn in range(5)))
    document, _ = answer(file, "--seeds", "2", "--jobs", "1")

    assert document["rows"][0]["figures"]["hit_ratio"]["mean"] == 0.0
    assert document["rows"][0]["figures"]["good_share"]["mean"] == 1.0


def test_what_servers_did_is_said_beside_what_would_be(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = [json.loads(line) | {"endpoint": "a:1", "ttft_ms": 250.0} for line in trace.read_text().splitlines()]
    lines = [
        line | {"prompt_tokens": line["input_length"], "cached_tokens": line["input_length"] // 4} for line in recorded
    ]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer(trace, "--seeds", "1", "--jobs", "1", "--config", "default")

    assert "as recorded: hit ratio 0.250, TTFT p50 250 ms, p90 250 ms" in capsys.readouterr().out


class _Page(HTMLParser):
    """Tags that are open, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value]
        self.charts += tag == "svg"
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Opens nothing."""


def test_the_page_is_whole_and_loads_nothing(trace: Path) -> None:
    _, text = answer(trace, "--rate", "1x..2x", "--steps", "2", "--seeds", "2", "--jobs", "1")
    page = _Page()
    page.feed(text)

    assert page.open == []
    assert page.loaded == []
    assert page.charts == 6
    assert "<script" not in text
    assert not re.search(r"url\(|@import|nan|inf\b", text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chat"], "--rate: this workload has no times of its own"),
        (["chat", "--rate", "1x"], "--rate: this workload has no times of its own"),
        (["chat", "--rate", "fast"], "--rate: expected 1x, 0.5x..2x, 20 or 10..40, got 'fast'"),
        (["chat", "--rate", "1", "--servers", "0"], "--servers: expected 1 to 2000 servers, got '0'"),
        (["chat", "--rate", "1..2", "--servers", "1..2"], "--rate and --servers: a range of one of them"),
        (["chat", "--rate", "1", "--profile", "h200"], "unknown profile 'h200'"),
        (["chat", "--rate", "1", "--config", "default", "--config", "default"], "--config: default is named twice"),
        (["chat", "--rate", "1", "--config", "/nowhere.yaml"], "/nowhere.yaml: No such file or directory"),
        (["chat", "--rate", "1", "--output", "/nowhere/lab.html"], "/nowhere/lab.html: not a file in a folder"),
        (["chat", "--rate", "1", "--seeds", "0"], "--seeds: expected 1 to 1000, got 0"),
        (["caht", "--rate", "1"], "caht: No such file or directory; workloads: shared"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_two(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refusal(capsys, *words)

    assert found.startswith(f"pointsman lab: {message}")
    assert len(found.splitlines()) == 1


def test_a_configuration_that_is_wrong_is_one_line_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WORSE.replace("random-picker}]}]", "random-picker, wieght: 1}]}]"))

    found = refusal(capsys, "chat", "--rate", "1", "--config", str(file))

    assert (
        found
        == f"pointsman lab: {file}:5: schedulingProfiles[0].plugins[0].wieght: unknown field; did you mean 'weight'?\n"
    )


def test_a_broken_trace_is_one_line_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text('{"timestamp": 1, "input_length": 5, "output_length": 1}\n{"timestamp": 1}\n')

    assert refusal(capsys, str(file)) == f"pointsman lab: {file}:2: input_length: required\n"
