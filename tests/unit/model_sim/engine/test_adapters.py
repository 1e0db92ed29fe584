"""LoRA slots: tiers, load times, order, and that nobody starves."""

from random import Random
from typing import Any

import pytest

from model_sim.engine.adapters import AdapterSlots
from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import Request

PROFILE = LatencyProfile(base=0.01, adapter_load_from_disk=1.0, adapter_load_from_cpu=0.1)


def engine(**sizes: Any) -> Engine:
    return Engine(EngineConfig(**{"max_num_seqs": 8, **sizes}), PROFILE, Random(0))


def ask(sim: Engine, name: str, adapter: str | None, now: float, output: int = 5) -> None:
    sim.submit(Request(id=name, prompt_tokens=4, output_tokens=output, adapter=adapter), now)


def finished(sim: Engine, until: float = 1e6) -> dict[str, float]:
    return {output.request_id: output.time for output in sim.step(until) if output.completion}


def test_a_first_use_loads_from_disk_a_later_one_costs_nothing():
    slots = AdapterSlots(1, 2, PROFILE)

    assert slots.acquire("a") == pytest.approx(1.1)
    assert slots.acquire("a") == 0.0


def test_an_adapter_evicted_from_the_gpu_comes_back_from_host_memory():
    slots = AdapterSlots(1, 2, PROFILE)
    slots.acquire("a")
    slots.release("a")
    slots.acquire("b")
    slots.release("b")

    assert slots.on_gpu == ("b",)
    assert slots.acquire("a") == pytest.approx(0.1)


def test_the_longest_idle_adapter_leaves_first():
    slots = AdapterSlots(2, 2, PROFILE)
    for name in ("a", "b"):
        slots.acquire(name)
        slots.release(name)
    slots.acquire("a")
    slots.release("a")
    slots.acquire("c")

    assert set(slots.on_gpu) == {"a", "c"}
    assert set(slots.on_cpu) == {"a", "c"}


def test_a_running_adapter_is_never_evicted():
    slots = AdapterSlots(2, 2, PROFILE)
    slots.acquire("a")
    slots.acquire("b")
    slots.release("b")
    slots.acquire("c")

    assert set(slots.on_gpu) == {"a", "c"}
    assert not slots.admits("b")


def test_preloading_fills_free_slots_only():
    slots = AdapterSlots(1, 2, PROFILE)
    for name in ("a", "b", "c"):
        slots.preload(name)

    assert slots.on_gpu == ("a",)
    assert slots.on_cpu == ("a", "b")


def test_a_load_slows_the_whole_step():
    sim = engine(max_loras=1)
    ask(sim, "base", None, 0.0, output=1)
    ask(sim, "tuned", "a", 0.0, output=1)

    assert finished(sim) == pytest.approx({"base": 1.11, "tuned": 1.11})


def test_a_batch_holds_no_more_adapters_than_slots_and_others_overtake():
    sim = engine(max_loras=1)
    ask(sim, "a1", "a", 0.0)
    ask(sim, "b1", "b", 0.0)
    ask(sim, "plain", None, 0.0)
    sim.step(1.115)

    snapshot = sim.snapshot()
    assert snapshot.running_adapters == ("a",)
    assert snapshot.waiting_adapters == ("b",)
    assert (snapshot.running, snapshot.waiting, snapshot.deferred) == (2, 1, 1)
    ends = finished(sim)
    assert ends["a1"] == ends["plain"] < ends["b1"]


def test_steady_traffic_for_one_adapter_does_not_starve_another():
    sim = engine(max_loras=1, adapter_patience=0.5)
    ask(sim, "first", "a", 0.0, output=30)
    ask(sim, "patient", "b", 0.0)
    now = 0.0
    for number in range(200):
        now += 0.05
        ask(sim, f"a{number}", "a", now, output=30)

    ends = finished(sim)

    assert ends["patient"] < 5.0
    assert len(ends) == 202


def test_base_requests_go_on_while_a_starving_adapter_drains_the_slots():
    sim = engine(max_loras=1, adapter_patience=0.0)
    ask(sim, "a", "a", 0.0, output=50)
    ask(sim, "b", "b", 0.0)
    sim.step(1.2)
    ask(sim, "plain", None, 1.2, output=2)
    ask(sim, "a again", "a", 1.2, output=2)

    ends = finished(sim)

    assert ends["plain"] < ends["a"] < ends["b"] <= ends["a again"]


def test_an_unloaded_adapter_leaves_both_tiers():
    slots = AdapterSlots(1, 1, PROFILE)
    slots.acquire("a")
    slots.release("a")
    slots.forget("a")

    assert (slots.on_gpu, slots.on_cpu) == ((), ())
