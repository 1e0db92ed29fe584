"""Why a prompt was not cached: where it left what is known, and what the engine said."""

from pathlib import Path
from random import Random

import orjson
import pytest
import yaml

from epp.config import default_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, Feedback, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking import caching
from epp.picking.caching import FIELDS_LIMIT, LOOKS_PER_SECOND, MINUTES_LIMIT, OTHER, PoolCaching
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.telemetry.caching import CacheMetrics
from epp.testing import NOBODY

POOL = PoolId("a/b")
ENDPOINT = EndpointId("10.0.0.1:8000")
LONG = "words of some length " * 60


def picker() -> Picker:
    made = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver())
    made.replace_pools({POOL: PoolSpec(POOL, (Endpoint(ENDPOINT, "10.0.0.1", 8000, "e"),))}, 0.0)
    made.scraped(POOL, ENDPOINT, EngineMetrics(0, 0, 0.0), 0.0)
    return made


def ask(made: Picker, now: float, *, stamp: str = "", question: str = "hi", cached: int | None = None) -> Pick:
    body = {
        "model": "m",
        "system": [{"type": "text", "text": f"now: {stamp}"}, {"type": "text", "text": LONG}],
        "messages": [{"role": "user", "content": question}],
    }
    verdict = made.submit(Request(POOL, "POST", "/v1/messages", {}, orjson.dumps(body)), NOBODY, now)
    assert isinstance(verdict, Pick)
    made.settle(verdict.id, Outcome.ENDED, now)
    feedback = Feedback(
        verdict.id, POOL, is_final=True, served=ENDPOINT, status=200, prompt_tokens=400, cached_tokens=cached
    )
    made.observe(feedback, now)
    return verdict


def cache_of(made: Picker, pick: Pick) -> dict[str, object]:
    found = made.decisions.explain(pick.id)
    assert found is not None
    cache = found["cache"]
    assert isinstance(cache, dict)
    return cache


def test_a_decision_names_the_field_at_which_its_prompt_left_the_known_chain_and_never_text() -> None:
    made = picker()
    ask(made, 1.0, stamp="10:00")
    pick = ask(made, 2.0, stamp="10:01")
    cache = cache_of(made, pick)
    assert cache["field"] == "system[0].text"
    assert cache["matched_tokens"] == 0
    assert cache["bytes_after"] == pytest.approx(len(LONG), abs=100)
    assert "10:01" not in str(made.decisions.explain(pick.id))


def test_what_many_bytes_follow_comes_first() -> None:
    made = picker()
    for number in range(20):
        ask(made, 1.0 + number, question=f"{number} " * 300)  # after a known system prompt
    ask(made, 50.0, stamp="other " + LONG)
    (pool,) = made.decisions.caching.describe()
    fields = pool["parts_at"]
    assert isinstance(fields, list)
    assert [each["field"] for each in fields[:2]] == ["messages[]", "system[0].text"]


def test_a_decision_says_what_the_engine_had_cached() -> None:
    made = picker()
    ask(made, 1.0, cached=0)
    pick = ask(made, 2.0, cached=123)
    assert cache_of(made, pick)["engine_cached_tokens"] == 123
    (pool,) = made.decisions.caching.describe(1_000_000.0)
    assert pool["real_share"] == pytest.approx(123 / 800, abs=1e-4)
    assert pool["expected_share"] == pytest.approx(0.47, abs=0.05)
    assert pool["minutes"] == [
        {"at": 1_000_000, "expected_share": pool["expected_share"], "real_share": pool["real_share"]}
    ]


def test_an_engine_that_does_not_count_says_nothing() -> None:
    made = picker()
    pick = ask(made, 1.0)
    assert cache_of(made, pick)["engine_cached_tokens"] is None


def test_only_so_many_bodies_are_read_again_each_second() -> None:
    made = picker()
    picks = [ask(made, 1.0 + number / 1000, stamp=str(number)) for number in range(LOOKS_PER_SECOND + 5)]
    looked = [cache_of(made, pick)["field"] is not None for pick in picks]
    assert looked == [True] * LOOKS_PER_SECOND + [False] * 5
    assert cache_of(made, ask(made, 2.5, stamp="later"))["field"] is not None


def test_fields_minutes_and_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = PoolCaching()
    for number in range(FIELDS_LIMIT + 100):
        pool.parted(f"tools[{number}]", 10)
        pool.answered((10, 5, 5), 60.0 * number)
    assert len(pool.fields) == FIELDS_LIMIT + 1
    assert pool.fields[OTHER] == 1000
    assert len(pool.minutes) == MINUTES_LIMIT
    monkeypatch.setattr(caching, "ANSWERS_LIMIT", 5)
    made = picker()
    picks = [ask(made, 1.0 + number, cached=1) for number in range(10)]
    known = [made.decisions.caching.cached_tokens(pick.id) is not None for pick in picks]
    assert known == [False] * 5 + [True] * 5


def test_metrics_and_the_alert_rules_speak_of_the_same_names() -> None:
    made = picker()
    ask(made, 1.0, stamp="10:00", cached=0)
    ask(made, 2.0, stamp="10:01", cached=100)
    text = CacheMetrics(made.decisions.caching.totals).render()
    assert 'pointsman_epp_prefix_tokens_total{kind="cached",pool="a/b"} 100' in text
    assert 'pointsman_epp_prefix_parted_bytes_total{field="system[0].text",pool="a/b"}' in text
    rules = yaml.safe_load(Path("config/alerts.yaml").read_text(encoding="utf-8"))
    named = str(rules)
    assert "pointsman_epp_prefix_tokens_total" in named
    assert "pointsman_epp_prefix_parted_bytes_total" in named
