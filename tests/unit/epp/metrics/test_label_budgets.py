"""Names that clients invent cost no existing name its series, and the exposition stays small."""

import time
from typing import Any

from epp.domain import Feedback, PickId
from epp.telemetry.metrics import Metrics
from epp.telemetry.words import LABEL_LIMIT, OTHER, Bounded
from tests.unit.epp.metrics.test_metrics import POOL, placement, text

MEGABYTE = 1_000_000
# Far more than it takes on a quiet host, where it is some three.
LONGEST_MILLISECONDS = 100


def report(metrics: Metrics, **names: Any) -> None:
    made = placement(objective=names.pop("objective", "o"))._replace(**names)
    metrics.placed(made, 10)
    feedback = Feedback(
        PickId("r-1"), POOL, is_final=True, status=200, ttft_seconds=0.1, duration_seconds=1.0, prompt_tokens=5,
        completion_tokens=5, cached_tokens=1, response_bytes=9,
    )  # fmt: skip
    metrics.reported(feedback, made)


def test_invented_fairness_ids_cost_no_model_its_series() -> None:
    metrics = Metrics()
    for number in range(5000):
        report(metrics, fairness_id=f"tenant-{number}")
    report(metrics, model="real", target_model="real")
    assert 'model_name="real"' in text(metrics)


def test_what_exists_has_its_series_whatever_clients_invent() -> None:
    metrics = Metrics()
    for number in range(500):
        report(metrics, model=f"invented-{number}", objective=f"invented-{number}")
    metrics.exist({"real", "adapter"}, {"critical"})
    for model in ("real", "adapter"):
        report(metrics, model=model, target_model=model, objective="critical")
    shown = text(metrics)
    assert 'target_model_name="real"' in shown
    assert 'target_model_name="adapter"' in shown
    assert 'objective="critical"' in shown


def test_what_is_gone_leaves_its_series() -> None:
    metrics = Metrics()
    metrics.exist({"old"}, set())
    report(metrics, model="old", target_model="old")
    assert 'model_name="old"' in text(metrics)
    metrics.exist(set(), set())
    assert 'model_name="old"' not in text(metrics)


def test_the_least_recently_used_leave_and_make_room() -> None:
    word = Bounded(4)
    for name in ("a", "b", "c", "d"):
        word(name)
    word("a")
    assert word("new") == OTHER
    assert word.renew() == {"b", "c"}
    assert [word("new"), word("a"), word("d")] == ["new", "a", "d"]


def test_nothing_leaves_while_there_is_room() -> None:
    word = Bounded(4)
    word("a")
    assert word.renew() == set()
    assert word("a") == "a"


def test_what_left_a_budget_leaves_the_exposition() -> None:
    metrics = Metrics()
    for number in range(LABEL_LIMIT):
        report(metrics, model=f"invented-{number}", target_model=f"invented-{number}")
    metrics.renew_labels()
    shown = text(metrics)
    assert 'model_name="invented-0"' not in shown
    assert f'model_name="invented-{LABEL_LIMIT - 1}"' in shown


def test_a_flood_of_every_kind_of_label_leaves_the_exposition_below_a_megabyte_and_quick() -> None:
    metrics = Metrics()
    metrics.exist({f"model-{number}" for number in range(10)}, {f"objective-{number}" for number in range(5)})
    for number in range(5000):
        real = f"model-{number % 10}"
        report(metrics, model=real, target_model=real, objective=f"objective-{number % 5}", fairness_id=f"t-{number}")
        report(metrics, model=f"x-{number}", target_model=f"y-{number % 97}", objective=f"z-{number}")
        if number % 500 == 0:
            metrics.renew_labels()
    text(metrics)
    began = time.perf_counter()
    shown = text(metrics)
    seconds = time.perf_counter() - began
    assert len(shown) < MEGABYTE
    assert seconds * 1000 < LONGEST_MILLISECONDS
