"""What the picker expects of caches is what real engines report. The record is of `tests.bench.real_engine`."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.lab.real_engine import Answer, Engine, Replay, error_of
from tests.lab.transcripts import TRANSCRIPTS, TURNS, steps

RECORD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "real-engine.json").read_text())
ANSWERS = [Answer(*each) for each in RECORD["answers"]]
GOAL = 0.05  # of the prompt, median


def replayed() -> list[float]:
    """The error of each request, sent to the server that answered it then."""
    replay = Replay(Engine(**RECORD["engine"]), servers=2)
    errors = []
    for step, answer in zip(steps(RECORD["model"]), ANSWERS, strict=True):
        server, expected = replay.send(step, answer.server)
        assert server == answer.server
        replay.answered(answer)
        errors.append(error_of(expected, answer))
    return errors


@pytest.fixture(scope="module")
def errors() -> list[float]:
    return replayed()


def test_expected_and_reported_cached_tokens_differ_by_less_than_a_twentieth_of_the_prompt(errors: list[float]) -> None:
    assert len(errors) == TRANSCRIPTS * TURNS
    assert median(errors) < GOAL


def test_so_they_do_in_each_api(errors: list[float]) -> None:
    paths = [step.sent.path for step in steps(RECORD["model"])]
    for path in set(paths):
        assert median(error for error, each in zip(errors, paths, strict=True) if each == path) < GOAL


def test_so_they_do_where_the_engines_had_evicted_most_of_a_conversation(errors: list[float]) -> None:
    """The record's last round: the first server's cache is full then."""
    last = slice(-TRANSCRIPTS, None)
    reported = [answer.cached_tokens / answer.prompt_tokens for answer in ANSWERS[last]]
    assert min(reported) < 0.5
    assert median(errors[last]) < GOAL


def test_the_conversations_go_back_to_the_server_that_has_them() -> None:
    replay = Replay(Engine(**RECORD["engine"]), servers=2)
    chosen: dict[int, set[int]] = {}
    for step, answer in zip(steps(RECORD["model"]), ANSWERS, strict=True):
        server, _ = replay.send(step)
        replay.answered(answer._replace(server=server))
        chosen.setdefault(step.transcript, set()).add(server)
    assert sum(len(servers) == 1 for servers in chosen.values()) >= 0.95 * TRANSCRIPTS
