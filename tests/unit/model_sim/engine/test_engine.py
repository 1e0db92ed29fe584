"""The engine's timing and order, checked by hand arithmetic."""

from random import Random

import pytest

from model_sim.engine.engine import Engine, next_event
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import FinishReason, NeverFitsError
from tests.unit.model_sim.engine.steps import FOREVER, ends, engine, request, times


def test_one_request_takes_a_prefill_step_and_a_decode_step_per_token():
    sim = engine()
    sim.submit(request("a"), 1.0)

    outputs = sim.step(FOREVER)

    assert times(outputs, "a") == pytest.approx([1.020, 1.032, 1.044])
    assert [output.tokens for output in outputs] == [1, 2, 3]


def test_requests_that_arrive_together_share_a_step():
    sim = engine()
    sim.submit(request("a"), 1.0)
    sim.submit(request("b"), 1.0)

    outputs = sim.step(FOREVER)

    assert times(outputs, "a") == times(outputs, "b") == pytest.approx([1.030, 1.044, 1.058])


def test_a_later_request_waits_for_the_step_under_way_and_slows_the_first():
    sim = engine()
    sim.submit(request("a"), 1.0)
    sim.submit(request("b"), 1.005)

    outputs = sim.step(FOREVER)

    assert times(outputs, "a") == pytest.approx([1.020, 1.042, 1.056])
    assert times(outputs, "b") == pytest.approx([1.042, 1.056, 1.068])


def test_a_long_prompt_is_prefilled_in_chunks_between_which_others_decode():
    sim = engine(max_num_batched_tokens=20)
    sim.submit(request("short", prompt=5, output=5), 0.0)
    sim.step(0.016)
    sim.submit(request("long", prompt=50, output=1), 0.016)

    outputs = sim.step(FOREVER)

    completion = ends(outputs)["long"]
    assert completion.first_token - completion.scheduled == pytest.approx(2 * (0.010 + 0.019 + 0.002) + 0.024)
    assert len(times(outputs, "short")) == 4  # its first token is out already


def test_without_chunked_prefill_a_prompt_waits_for_a_step_that_holds_it_whole():
    sim = engine(max_num_batched_tokens=20, enable_chunked_prefill=False)
    sim.submit(request("a", prompt=12, output=1), 0.0)
    sim.submit(request("b", prompt=12, output=1), 0.0)

    completions = ends(sim.step(FOREVER))

    assert completions["b"].scheduled == pytest.approx(completions["a"].finished)


def test_the_batch_is_limited_by_max_num_seqs_and_the_rest_waits_in_order():
    sim = engine(max_num_seqs=2)
    for name in "abcd":
        sim.submit(request(name), 0.0)
    sim.step(0.0301)

    assert (sim.snapshot().running, sim.snapshot().waiting) == (2, 2)
    completions = ends(sim.step(FOREVER))
    assert completions["c"].scheduled == completions["d"].scheduled == completions["a"].finished


def test_context_tokens_and_attention_pairs_cost_time():
    sim = engine(LatencyProfile(per_prefill_pair=0.001, per_context_token=0.01))
    sim.submit(request("a", prompt=4, output=2), 0.0)

    assert times(sim.step(FOREVER), "a") == pytest.approx([0.010, 0.010 + 0.05])


def test_deadlines_are_absolute_however_late_the_engine_runs():
    sim = engine()
    sim.submit(request("a", output=50), 0.0)

    outputs = sim.step(FOREVER)

    assert times(outputs, "a")[-1] == pytest.approx(0.020 + 49 * 0.012)


def test_next_event_is_the_end_of_the_step_and_none_when_idle():
    sim = engine()
    assert sim.next_event() is None
    sim.submit(request("a", output=1), 5.0)
    assert sim.next_event() == 5.0
    sim.step(5.0)
    assert sim.next_event() == pytest.approx(5.02)
    sim.step(5.02)
    assert sim.next_event() is None
    assert next_event([sim]) == float("inf")


def test_jitter_is_seeded_and_bounded_below():
    profile = LatencyProfile(base=0.01, jitter=3.0)
    runs = []
    for seed in (1, 1, 2):
        sim = Engine(EngineConfig(), profile, Random(seed), every_token=True)
        sim.submit(request("a", output=40), 0.0)
        runs.append(times(sim.step(FOREVER), "a"))

    assert runs[0] == runs[1] != runs[2]
    gaps = [b - a for a, b in zip(runs[0], runs[0][1:], strict=False)]
    assert min(gaps) == pytest.approx(0.005)


def test_an_instant_engine_answers_at_the_moment_of_arrival():
    sim = engine(LatencyProfile())
    sim.submit(request("a", output=100), 3.0)

    outputs = sim.step(3.0)

    assert set(times(outputs, "a")) == {3.0}
    assert outputs[-1].completion is not None


def test_a_prompt_larger_than_the_cache_is_refused_at_once():
    sim = engine(num_gpu_blocks=4, block_size=16)

    with pytest.raises(NeverFitsError) as refused:
        sim.submit(request("a", prompt=65), 0.0)

    assert (refused.value.needed, refused.value.capacity) == (5, 4)
    assert sim.is_empty


def test_an_answer_larger_than_the_cache_ends_when_the_cache_is_full():
    sim = engine(num_gpu_blocks=2, block_size=4)
    sim.submit(request("a", prompt=5, output=100, finish_reason=FinishReason.STOP), 0.0)

    completion = ends(sim.step(FOREVER))["a"]

    assert completion.output_tokens == 4
    assert completion.finish_reason is FinishReason.LENGTH


def test_a_request_waits_while_blocks_are_short():
    sim = engine(num_gpu_blocks=4, block_size=16)
    sim.submit(request("a", prompt=40), 0.0)
    sim.submit(request("b", prompt=40), 0.0)

    completions = ends(sim.step(FOREVER))

    assert completions["b"].scheduled == completions["a"].finished
    assert completions["b"].preemptions == 0


def test_decoding_that_outgrows_the_cache_preempts_the_newest_which_then_finishes():
    sim = engine(num_gpu_blocks=4, block_size=4, max_num_batched_tokens=100)
    sim.submit(request("old", prompt=7, output=6), 0.0)
    sim.submit(request("new", prompt=7, output=6), 0.0)

    outputs = sim.step(FOREVER)
    completions = ends(outputs)

    assert (completions["old"].preemptions, completions["new"].preemptions) == (0, 1)
    assert completions["new"].output_tokens == 6
    assert completions["new"].finished > completions["old"].finished
    assert sim.metrics.preemptions == 1


def test_kv_cache_usage_grows_while_decoding():
    sim = engine(num_gpu_blocks=10, block_size=4)
    sim.submit(request("a", prompt=4, output=6), 0.0)
    usage = []
    for _ in range(6):
        event = sim.next_event()
        assert event is not None
        sim.step(event)
        usage.append(sim.snapshot().blocks_used)

    assert usage == [1, 2, 2, 2, 2, 3]


def test_an_abort_frees_slot_and_blocks_when_the_step_ends():
    sim = engine()
    sim.submit(request("a", output=100), 0.0)
    sim.step(0.020)
    sim.abort("a", 0.021)
    before = sim.snapshot().running
    end = sim.next_event()
    assert end is not None
    outputs = sim.step(end)

    assert before == 1
    assert sim.is_empty
    assert ends(outputs)["a"].finish_reason is FinishReason.ABORT
    assert sim.metrics.finished["abort"] == 1


def test_aborting_a_waiting_or_unknown_request_is_immediate_or_nothing():
    sim = engine(max_num_seqs=1)
    sim.submit(request("a"), 0.0)
    sim.submit(request("b"), 0.0)
    sim.step(0.0)
    sim.abort("b", 0.001)
    sim.abort("unknown", 0.001)

    assert sim.snapshot().waiting == 0
    assert ends(sim.step(FOREVER))["a"].output_tokens == 3


def test_time_to_first_token_counts_from_arrival_and_counters_move_every_step():
    sim = engine(max_num_seqs=1)
    sim.submit(request("a"), 0.0)
    sim.submit(request("b"), 0.0)
    sim.step(0.020)
    after_one = (sim.metrics.prompt_tokens, sim.metrics.generation_tokens)
    sim.step(0.032)

    assert after_one == (10, 1)
    assert sim.metrics.generation_tokens == 2
    sim.step(FOREVER)
    assert sim.metrics.time_to_first_token.total == pytest.approx(0.020 + 0.064)


def test_a_transferred_prompt_waits_for_its_bytes_and_computes_one_token():
    profile = LatencyProfile(
        base=0.010, per_prefill_token=0.001, kv_bytes_per_token=1000, transfer_bytes_per_second=1e6
    )
    sim = engine(profile)
    sim.submit(request("decode", prompt=50, output=1, remote_prefill=True), 0.0)
    waiting = sim.snapshot()

    completion = ends(sim.step(FOREVER))["decode"]

    assert (waiting.waiting, waiting.deferred) == (1, 1)
    assert completion.first_token == pytest.approx(0.050 + 0.010 + 0.001)
    assert sim.metrics.prompt_tokens_transferred == 49


@pytest.mark.parametrize("bad", [{"prompt": 0}, {"output": 0}])
def test_an_empty_prompt_or_answer_is_an_error(bad):
    with pytest.raises(ValueError, match="at least one"):
        engine().submit(request("a", **bad), 0.0)


def test_an_id_in_use_is_an_error():
    sim = engine()
    sim.submit(request("a"), 0.0)

    with pytest.raises(ValueError, match="in use"):
        sim.submit(request("a"), 0.0)


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"max_num_batched_tokens": 4}, "max_num_batched_tokens"),
        ({"max_loras": 2, "max_cpu_loras": 1}, "max_cpu_loras"),
    ],
)
def test_sizes_that_contradict_each_other_are_named(sizes, named):
    with pytest.raises(ValueError, match=named):
        EngineConfig(**sizes)
