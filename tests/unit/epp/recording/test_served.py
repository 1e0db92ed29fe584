"""What the picker served becomes lines: lengths, times, keyed hashes, whole chains of blocks, and no text."""

from dataclasses import replace
from random import Random

import orjson
import pytest

from epp.config import SchedulerConfig, default_config, parse_config
from epp.domain import EngineMetrics, Feedback, Outcome, Pick, Request, ServedModel
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.recording import served
from epp.recording.line import line_of
from epp.recording.served import ServedRequests
from epp.testing import NOBODY
from tests.unit.epp.picking.driven import BLOCK_BYTES, POOL, final, scrape, spec

KEY, EPOCH = b"k" * 32, 1_700_000_000.0
SECRET = "the launch is on friday "
QUEUE_ALONE = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: queue-scorer}]\n"


class Recorded:
    """A picker whose placements are recorded."""

    def __init__(self, config: SchedulerConfig | None = None, served: ServedRequests | None = None) -> None:
        self.served = served or ServedRequests(NullObserver())
        self.picker = Picker(config or default_config(), random=Random(1), replica="r", observer=self.served)
        self.picker.replace_pools({POOL: spec()}, 0.0)
        scrape(self.picker, 0.5)

    def serve(self, prompt: str, now: float, **headers: str) -> Pick:
        body = orjson.dumps({"model": "m", "prompt": prompt})
        verdict = self.picker.submit(Request(POOL, "POST", "/v1/completions", headers, body), NOBODY, now)
        assert isinstance(verdict, Pick)
        return verdict

    def end(self, pick: Pick, now: float, **more: object) -> None:
        self.picker.settle(pick.id, Outcome.ENDED, now)
        self.picker.observe(final(pick, **more), now)

    def lines(self, key: bytes = KEY) -> list[bytes]:
        return [line_of(each, EPOCH, key) for each in self.served.take(100)]


def test_a_line_has_times_lengths_and_where_it_went() -> None:
    recorded = Recorded()
    pick = recorded.serve("x" * 4 * BLOCK_BYTES, 2.0)
    recorded.end(pick, 3.0, prompt_tokens=260, completion_tokens=40, cached_tokens=64)

    (line,) = map(orjson.loads, recorded.lines())

    assert len(line.pop("hash_ids")) == 4
    assert line == {
        "timestamp": 1_700_000_002_000, "input_length": 256, "output_length": 40, "block_size": 64, "pool": POOL,
        "model": "m", "endpoint": pick.targets[0], "status": 200, "prompt_tokens": 260, "cached_tokens": 64,
        "ttft_ms": 100.0, "duration_ms": 1000.0,
    }  # fmt: skip


def test_equal_beginnings_have_equal_hashes_that_no_other_key_makes() -> None:
    recorded = Recorded()
    for number, tail in enumerate("ab"):
        recorded.end(recorded.serve("x" * 4 * BLOCK_BYTES + tail * BLOCK_BYTES, 1.0 + number), 1.5 + number)
    recorded.end(recorded.serve("x" * 4 * BLOCK_BYTES, 4.0), 5.0)
    taken = recorded.served.take(100)
    first, second, _ = (orjson.loads(line_of(each, EPOCH, KEY))["hash_ids"] for each in taken)
    others = orjson.loads(line_of(taken[0], EPOCH, b"o" * 32))["hash_ids"]

    assert first[:4] == second[:4]
    assert first[4] != second[4]
    assert not set(first) & set(others)
    assert max(first) < 1 << 53


def test_no_text_and_no_session_id_is_in_a_line() -> None:
    recorded = Recorded()
    pick = recorded.serve(SECRET * 100, 1.0, **{"x-session-id": "alice"})
    recorded.end(pick, 2.0)

    (line,) = recorded.lines()

    assert SECRET.strip().encode() not in line
    assert b"alice" not in line
    assert orjson.loads(line)["session_id"]


def test_a_long_prompt_has_its_whole_chain_though_its_reservation_ended_before_the_report() -> None:
    recorded = Recorded()
    recorded.end(recorded.serve("x" * 700 * BLOCK_BYTES, 1.0), 2.0)

    (line,) = map(orjson.loads, recorded.lines())

    assert len(line["hash_ids"]) == 700


def test_blocks_are_recorded_though_no_plugin_looks_at_them() -> None:
    recorded = Recorded(replace(parse_config(QUEUE_ALONE, "c"), uses_prefix=True))
    recorded.end(recorded.serve("x" * 4 * BLOCK_BYTES, 1.0), 2.0)

    (line,) = map(orjson.loads, recorded.lines())

    assert len(line["hash_ids"]) == 4


def test_what_nobody_writes_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "SERVED_LIMIT", 3)
    recorded = Recorded()
    for number in range(5):
        recorded.end(recorded.serve("hello", 1.0 + number), 1.5 + number)

    assert recorded.served.dropped == 2
    assert len(recorded.lines()) == 3


def test_chains_of_requests_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PENDING_BLOCKS_LIMIT", 1000)
    recorded = Recorded()
    picks = [recorded.serve("x" * 700 * BLOCK_BYTES, 1.0 + number) for number in range(3)]
    for pick in picks:
        recorded.end(pick, 9.0)

    lengths = [len(orjson.loads(line)["hash_ids"]) for line in recorded.lines()]

    assert lengths == [512, 512, 700]  # what the ledger keeps, and the newest whole


def test_a_heartbeat_is_no_end() -> None:
    recorded = Recorded()
    pick = recorded.serve("hello", 1.0)
    recorded.picker.observe(Feedback(pick.id, POOL, False, duration_seconds=1.0), 2.0)

    assert recorded.lines() == []


def test_a_request_for_an_adapter_names_it_though_the_placement_forgets_it_when_it_is_settled() -> None:
    recorded = Recorded()
    models = (ServedModel("m", {"id": "m", "parent": None}), ServedModel("food", {"id": "food", "parent": "m"}))
    for endpoint in spec().endpoints:
        recorded.picker.scraped(POOL, endpoint.id, EngineMetrics(0, 0, 0.0, max_adapters=2), 0.6)
        recorded.picker.models_listed(POOL, endpoint.id, models, 0.6)
    for model in ("m", "food"):
        body = orjson.dumps({"model": model, "prompt": "hello"})
        pick = recorded.picker.submit(Request(POOL, "POST", "/v1/completions", {}, body), NOBODY, 2.0)
        assert isinstance(pick, Pick)
        recorded.end(pick, 3.0)

    lines = [orjson.loads(line) for line in recorded.lines()]

    assert [(line["model"], line.get("adapter")) for line in lines] == [("m", None), ("food", "food")]
