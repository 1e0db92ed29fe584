"""Flow control under the reference's names and labels."""

from epp.telemetry.metrics import Metrics
from tests.unit.epp.admission.queues import SLOTS, Queues

PREFIX = "inference_extension_flow_control_"


def lines(metrics: Metrics, name: str) -> list[str]:
    """The samples of one family."""
    return [line for line in metrics.registry.render().splitlines() if line.startswith(f"{PREFIX}{name}")]


def crowded() -> tuple[Queues, Metrics]:
    """A full pool with two requests of one flow that wait."""
    metrics = Metrics()
    queues = Queues(SLOTS + "  maxRequests: 4\n", observer=metrics.queues)
    metrics.queues.describe(lambda: queues.picker.queues(2.0))
    queues.fill(1.0)
    for _ in range(2):
        queues.send(1.0, "batch", flow="me")
    return queues, metrics


def test_what_waits_is_a_gauge_by_flow() -> None:
    _, metrics = crowded()
    labels = '{fairness_id="me",inference_pool="default/pool",model_name="m",priority="-1",target_model_name="m"}'

    assert lines(metrics, "queue_size") == [f"{PREFIX}queue_size{labels} 2.0"]
    assert lines(metrics, "queue_bytes") == [f"{PREFIX}queue_bytes{labels} 60.0"]


def test_a_flow_that_has_waited_falls_to_zero_and_stays() -> None:
    queues, metrics = crowded()
    lines(metrics, "queue_size")
    queues.picker.pass_time(100.0)

    (left,) = lines(metrics, "queue_size")
    assert left.endswith(" 0.0")
    assert lines(metrics, "queue_size") == [left]


def test_how_full_pool_and_queues_are() -> None:
    _, metrics = crowded()

    assert lines(metrics, "pool_saturation") == [
        f'{PREFIX}pool_saturation{{inference_pool="default/pool",stage="effective"}} 1.0'
    ]
    assert lines(metrics, "global_capacity_utilization_requests") == [
        f'{PREFIX}global_capacity_utilization_requests{{inference_pool="default/pool"}} 0.5'
    ]
    assert f'{PREFIX}capacity_utilization_requests{{inference_pool="default/pool",priority="-1"}} 0.0004' in lines(
        metrics, "capacity_utilization_requests"
    )


def test_each_outcome_is_counted_and_timed() -> None:
    queues, metrics = crowded()
    queues.picker.pass_time(100.0)

    assert lines(metrics, "requests_total") == [
        f'{PREFIX}requests_total{{inference_pool="default/pool",outcome="Dispatched",priority="0"}} 8.0',
        f'{PREFIX}requests_total{{inference_pool="default/pool",outcome="EvictedTTL",priority="-1"}} 2.0',
    ]
    labels = 'fairness_id="me",inference_pool="default/pool",model_name="m"'
    expected = f'_sum{{{labels},outcome="EvictedTTL",priority="-1",target_model_name="m"}} 198.0'
    sums = [line for line in lines(metrics, "request_queue_duration_seconds_sum") if 'outcome="EvictedTTL"' in line]
    assert sums == [f"{PREFIX}request_queue_duration_seconds{expected}"]
