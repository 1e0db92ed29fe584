"""The recording on a real disk: bounded, private, whole lines, and a disk that is full costs lines alone."""

import asyncio
import stat
from pathlib import Path

import pytest

from epp.picking.observer import NullObserver
from epp.recording.file import RecordingFile
from epp.recording.recorder import Recorder, Recording
from gateway.service.metrics import Registry
from tests.unit.epp.recording.test_served import Recorded

LIMIT = 1000
FULL = Path("/dev/full")


def test_a_full_file_becomes_the_one_before_and_there_are_never_more_than_two(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "r.jsonl", LIMIT)
    for number in range(100):
        file.write(f"{number:03}".encode() * 30 + b"\n")
    file.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl", "r.jsonl.1"]
    assert all(path.stat().st_size <= LIMIT for path in tmp_path.iterdir())
    both = (tmp_path / "r.jsonl.1").read_text() + (tmp_path / "r.jsonl").read_text()
    numbers = [int(line[:3]) for line in both.splitlines()]
    assert numbers == [*range(100 - len(numbers), 100)]


def test_a_file_that_is_there_is_appended_to_and_one_that_is_made_is_private(tmp_path: Path) -> None:
    for line in (b"one\n", b"two\n"):
        file = RecordingFile(tmp_path / "r.jsonl", LIMIT)
        file.write(line)
        file.close()

    assert (tmp_path / "r.jsonl").read_text() == "one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "r.jsonl").stat().st_mode) == 0o600


def test_a_file_that_was_taken_away_is_made_anew_when_it_is_due(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "r.jsonl", LIMIT)
    file.write(b"x" * (LIMIT - 1) + b"\n")
    (tmp_path / "r.jsonl").unlink()
    file.write(b"next\n")
    file.close()

    assert (tmp_path / "r.jsonl").read_text() == "next\n"


async def test_what_was_served_is_written_also_at_the_end(tmp_path: Path) -> None:
    registry = Registry()
    recorder = Recorder(Recording(tmp_path / "r.jsonl", LIMIT * 100, b"k" * 32), NullObserver(), registry, 0.0)
    recorded = Recorded(served=recorder.served)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(recorder.run())
        recorded.end(recorded.serve("hello", 1.0), 2.0)
        async with asyncio.timeout(20):
            while not (tmp_path / "r.jsonl").read_bytes():
                await asyncio.sleep(0.02)
        recorded.end(recorded.serve("hello", 3.0), 4.0)
        job.cancel()

    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2
    assert 'pointsman_epp_recorded_requests_total{outcome="written"} 2' in registry.render()


async def test_a_full_disk_costs_lines_and_is_counted() -> None:
    registry = Registry()
    recorder = Recorder(Recording(FULL, LIMIT, b"k" * 32), NullObserver(), registry, 0.0)
    recorded = Recorded(served=recorder.served)
    recorded.end(recorded.serve("hello", 1.0), 2.0)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(recorder.run())
        async with asyncio.timeout(20):
            while 'outcome="failed"} 1' not in registry.render():
                await asyncio.sleep(0.02)
        job.cancel()


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        RecordingFile(tmp_path, LIMIT)
