"""An engine asleep, frozen or at half speed, by hand arithmetic."""

from random import Random

import pytest

from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import FinishReason
from tests.unit.model_sim.engine.steps import FOREVER, ends, engine, request, times


def test_a_sleeping_engine_starts_nothing_until_it_wakes():
    sim = engine()
    sim.sleep(0.0)
    sim.submit(request("a", output=1), 1.0)
    asleep = sim.step(50.0)
    sim.wake(60.0)

    assert asleep == []
    assert sim.snapshot().waiting == 1
    assert ends(sim.step(FOREVER))["a"].first_token == pytest.approx(60.02)


def test_a_kv_cache_that_arrives_during_sleep_is_used_after_it():
    sim = engine()
    sim.sleep(0.0)
    sim.submit(request("a", output=1, remote_prefill=True), 1.0)
    sim.wake(60.0)

    assert ends(sim.step(FOREVER))["a"].scheduled == pytest.approx(60.0)


def test_waking_an_engine_that_is_awake_delays_nothing():
    waken, left = engine(), engine()
    for sim in (waken, left):
        sim.submit(request("a"), 1.0)
    waken.wake(1.025)

    assert waken.step(FOREVER) == left.step(FOREVER)


def test_a_frozen_engine_ends_no_step_and_moves_no_gauge():
    sim = engine()
    sim.submit(request("a", output=5), 0.0)
    sim.step(0.025)
    sim.freeze(0.025)
    gauges, steps = sim.snapshot(), sim.metrics.iteration_tokens.count
    sim.submit(request("b"), 1.0)

    assert sim.step(50.0) == []
    assert sim.next_event() is None
    assert (sim.snapshot(), sim.metrics.iteration_tokens.count) == (gauges, steps)


def test_a_thawed_engine_goes_on_where_it_was():
    sim = engine()
    sim.submit(request("a"), 0.0)
    sim.step(0.025)
    sim.freeze(0.025)
    sim.submit(request("b", output=1), 1.0)
    sim.thaw(10.025)

    outputs = sim.step(FOREVER)

    assert times(outputs, "a") == pytest.approx([10.032, 10.054])
    assert ends(outputs)["b"].first_token == pytest.approx(10.054)


def test_a_request_given_up_while_the_engine_is_frozen_leaves_after_the_thaw():
    sim = engine()
    sim.submit(request("a"), 0.0)
    sim.step(0.025)
    sim.freeze(0.025)
    sim.abort("a", 1.0)
    frozen = sim.step(5.0)
    sim.thaw(5.0)

    assert frozen == []
    assert ends(sim.step(FOREVER))["a"].finish_reason is FinishReason.ABORT
    assert sim.is_empty


def test_thawing_an_engine_that_is_not_frozen_changes_nothing():
    thawed, left = engine(), engine()
    for sim in (thawed, left):
        sim.submit(request("a"), 0.0)
    thawed.thaw(0.025)

    assert thawed.step(FOREVER) == left.step(FOREVER)


@pytest.mark.parametrize("every_token", [True, False])
def test_at_half_speed_everything_takes_twice_as_long(every_token):
    profile = LatencyProfile(
        base=0.01,
        per_prefill_token=0.001,
        per_decode_sequence=0.002,
        per_context_token=1e-5,
        adapter_load_from_disk=1.0,
    )
    full, half = (Engine(EngineConfig(), profile, Random(0), every_token=every_token) for _ in range(2))
    half.set_speed(0.5)
    for sim in (full, half):
        sim.submit(request("a", output=50, adapter="x"), 0.0)

    whole, slow = ends(full.step(FOREVER))["a"], ends(half.step(FOREVER))["a"]

    assert slow.first_token == pytest.approx(2 * whole.first_token)
    assert slow.finished == pytest.approx(2 * whole.finished)
