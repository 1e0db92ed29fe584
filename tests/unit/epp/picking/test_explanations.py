"""A decision can be read afterwards; a request that asks is told."""

from random import Random

import orjson
import pytest

from epp.config import default_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, Pick, PoolId, PoolSpec, Request
from epp.picking.explain import CANDIDATES_LIMIT, RING_LIMIT, WORDS_LIMIT
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.wire import protocol

POOL = PoolId("default/pool")
SECRET = "the words of a prompt"


def picker(*, explains: bool = True, endpoints: int = 3) -> Picker:
    made = Picker(
        default_config(),
        random=Random(1),
        replica="r",
        observer=NullObserver(),
        explains=explains,
    )
    found = tuple(
        Endpoint(EndpointId(f"10.0.0.{number}:8000"), f"10.0.0.{number}", 8000, "x") for number in range(endpoints)
    )
    made.replace_pools({POOL: PoolSpec(POOL, found)}, 0.0)
    for endpoint in found:
        made.scraped(POOL, endpoint.id, EngineMetrics(0, 0, 0.0), 0.5)
    return made


def ask(made: Picker, request_id: str, **headers: str) -> Pick:
    body = orjson.dumps({"model": "m", "prompt": SECRET * 100})
    sent = {"x-request-id": request_id, **headers}
    verdict = made.submit(Request(POOL, "POST", "/v1/completions", sent, body), NOBODY, 1.0)
    assert isinstance(verdict, Pick)
    return verdict


def test_a_decision_tells_candidates_scores_choice_and_ledger() -> None:
    made = picker()
    pick = ask(made, "one")
    explained = made.decisions.explain("one")
    assert explained is not None
    assert explained == made.decisions.explain(pick.id)
    assert explained["targets"] == list(pick.targets)
    assert explained["candidates"] == 3
    assert explained["candidate_endpoints"] == ["10.0.0.0:8000", "10.0.0.1:8000", "10.0.0.2:8000"]
    assert {note["plugin"] for note in explained["scores"]} == {  # type: ignore[attr-defined]
        "prefix-cache-scorer", "lora-placement-scorer", "session-affinity-scorer", "queue-scorer",
        "kv-cache-utilization-scorer",
    }  # fmt: skip
    assert explained["ledger"] == {
        "endpoint": pick.targets[0],
        "before": {"requests": 0, "tokens": 0},
        "after": {"requests": 1, "tokens": len(SECRET * 100) // 4},
    }
    assert explained["filters"] == [
        {"profile": "default", "plugin": "affinity-gate", "removed": [], "removed_count": 0}
    ]


def test_a_decision_tells_its_time_by_the_clock_on_the_wall() -> None:
    made = picker()
    ask(made, "one")
    started_at = 1_767_225_600.25 - 1.0  # so that the decision, at 1.0, is a quarter second into 2026
    explained = made.decisions.explain("one", started_at)
    assert explained is not None
    assert explained["at"] == "2026-01-01T00:00:00.250+00:00"
    assert [record["at"] for record in made.decisions.latest(1, started_at)] == [explained["at"]]


def test_candidates_are_told_up_to_a_bound_and_counted_beyond() -> None:
    made = picker(endpoints=CANDIDATES_LIMIT + 1)
    ask(made, "one")
    explained = made.decisions.explain("one")
    assert explained is not None
    assert explained["candidates"] == CANDIDATES_LIMIT + 1
    listed = explained["candidate_endpoints"]
    assert isinstance(listed, list)
    assert len(listed) == CANDIDATES_LIMIT


def test_no_body_is_kept() -> None:
    made = picker()
    ask(made, "one")
    assert SECRET not in orjson.dumps(made.decisions.latest(10)).decode()


def test_without_explaining_a_decision_is_kept_without_scores() -> None:
    made = picker(explains=False)
    ask(made, "one")
    explained = made.decisions.explain("one")
    assert explained is not None
    assert "scores" not in explained
    assert explained["candidates"] == 3
    assert "candidate_endpoints" not in explained


def test_refusals_are_kept_with_their_reason() -> None:
    made = picker(endpoints=0)
    made.submit(Request(POOL, "POST", "/v1/completions", {"x-request-id": "no"}, b"{}"), NOBODY, 1.0)
    explained = made.decisions.explain("no")
    assert explained is not None
    assert str(explained["rejection"]).startswith("400 invalid_request")


def test_the_newest_come_first_and_the_ring_is_bounded() -> None:
    made = picker(explains=False)
    for number in range(RING_LIMIT + 5):
        ask(made, str(number))
    latest = made.decisions.latest(2)
    assert [record["request_id"] for record in latest] == [str(RING_LIMIT + 4), str(RING_LIMIT + 3)]
    assert made.decisions.explain("0") is None
    assert len(made.decisions.latest(10**6)) == RING_LIMIT


def test_a_long_request_id_is_cut_and_still_found() -> None:
    made = picker(explains=False)
    identity = "x" * 60_000
    pick = ask(made, identity)
    explained = made.decisions.explain(identity)
    assert explained is not None
    assert (explained["pick_id"], explained["request_id"]) == (pick.id, identity[:WORDS_LIMIT])


@pytest.mark.parametrize(("explains", "header", "expected"), [(True, "true", 2), (True, "", 0), (False, "true", 0)])
def test_a_request_is_told_only_when_it_asks_and_it_is_enabled(explains: bool, header: str, expected: int) -> None:
    pick = ask(picker(explains=explains), "one", **{protocol.EXPLAIN: header})
    assert len(pick.explain) == expected
    if expected:
        assert dict(pick.explain)["x-pointsman-endpoint"] == pick.targets[0]
        assert float(dict(pick.explain)["x-pointsman-margin"]) == 0.0


def test_pools_are_told_as_json() -> None:
    made = picker()
    ask(made, "one")
    (pool,) = orjson.loads(orjson.dumps(made.pools.describe(1.5)))
    assert pool["pool"] == POOL
    assert sum(endpoint["in_flight"] for endpoint in pool["endpoints"]) == 1
    assert {endpoint["metrics_age"] for endpoint in pool["endpoints"]} == {1.0}
