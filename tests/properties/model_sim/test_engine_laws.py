"""The engine's laws, in virtual time, over random workloads and sizes."""

from dataclasses import dataclass, replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from model_sim.engine.blocks import BlockPool
from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import FinishReason, Output, Request

PROFILE = LatencyProfile(
    base=0.01,
    per_prefill_token=0.0002,
    per_prefill_pair=1e-8,
    per_decode_sequence=0.0005,
    per_context_token=1e-6,
    jitter=0.05,
    adapter_load_from_disk=0.1,
    adapter_load_from_cpu=0.01,
    kv_bytes_per_token=1000,
    transfer_bytes_per_second=1e6,
)
LONG_AFTER = 100_000.0


@dataclass(frozen=True)
class Arrival:
    at: float
    request: Request
    aborted_at: float | None


@st.composite
def configs(draw: st.DrawFn) -> EngineConfig:
    seqs = draw(st.integers(1, 6))
    loras = draw(st.integers(1, 2))
    return EngineConfig(
        max_num_seqs=seqs,
        max_num_batched_tokens=draw(st.integers(max(seqs, 4), 40)),
        block_size=draw(st.sampled_from((1, 4, 8))),
        num_gpu_blocks=draw(st.integers(8, 60)),
        enable_prefix_caching=draw(st.booleans()),
        enable_chunked_prefill=draw(st.booleans()),
        max_loras=loras,
        max_cpu_loras=loras + draw(st.integers(0, 2)),
        adapter_patience=draw(st.sampled_from((0.0, 0.5))),
    )


@st.composite
def arrivals(draw: st.DrawFn, config: EngineConfig) -> list[Arrival]:
    made = []
    now = 0.0
    for number in range(draw(st.integers(1, 14))):
        now += draw(st.sampled_from((0.0, 0.0, 0.003, 0.02, 0.3)))
        prompt = draw(st.integers(1, min(60, config.block_size * config.num_gpu_blocks)))
        output = draw(st.integers(1, 30))
        family = draw(st.integers(0, 2))
        hashes = [family * 1000 + index for index in range((prompt + output) // config.block_size)]
        shared = draw(st.integers(0, len(hashes)))
        hashes = hashes[:shared] + [10_000 * (number + 1) + index for index in range(len(hashes) - shared)]
        request = Request(
            id=f"r{number}",
            prompt_tokens=prompt,
            output_tokens=output,
            block_hashes=tuple(hashes),
            adapter=draw(st.sampled_from((None, None, "a", "b", "c"))),
            remote_prefill=draw(st.integers(0, 9)) == 0,
        )
        aborted = now + draw(st.sampled_from((0.0, 0.01, 0.2))) if draw(st.integers(0, 4)) == 0 else None
        made.append(Arrival(now, request, aborted))
    return made


@st.composite
def workloads(draw: st.DrawFn) -> tuple[EngineConfig, list[Arrival]]:
    config = draw(configs())
    return config, draw(arrivals(config))


def engine_of(config: EngineConfig, *, every_token: bool = True) -> Engine:
    return Engine(config, PROFILE, Random(1), max_model_len=1000, every_token=every_token)


def run(engine: Engine, work: list[Arrival], *, interval: float | None = None) -> list[Output]:
    """Drive a workload; with an interval, `step` is called that often besides."""
    moments = sorted(
        [(arrival.at, 0, arrival) for arrival in work]
        + [(arrival.aborted_at, 1, arrival) for arrival in work if arrival.aborted_at is not None],
        key=lambda moment: moment[:2],
    )
    outputs: list[Output] = []
    now = 0.0
    for at, kind, arrival in moments:
        while interval is not None and now + interval < at:
            now += interval
            outputs += engine.step(now)
            check(engine)
        now = at
        if kind == 0:
            engine.submit(arrival.request, at)
        else:
            engine.abort(arrival.request.id, at)
        check(engine)
    return outputs + engine.step(LONG_AFTER)


def check(engine: Engine) -> None:
    """What must hold at every moment."""
    snapshot, config = engine.snapshot(), engine.config
    assert 0 <= snapshot.blocks_used <= config.num_gpu_blocks
    assert snapshot.blocks_used == held_blocks(engine)
    assert snapshot.blocks_cached <= config.num_gpu_blocks
    assert snapshot.running <= config.max_num_seqs
    assert len(snapshot.running_adapters) <= config.max_loras
    assert len(engine.adapters.on_gpu) <= config.max_loras
    assert len(engine.adapters.on_cpu) <= config.max_cpu_loras
    assert set(engine.adapters.on_gpu) <= set(engine.adapters.on_cpu)
    assert 0 <= snapshot.deferred <= snapshot.waiting


def held_blocks(engine: Engine) -> int:
    """Count the blocks anew: references on cached blocks once, private blocks of every running sequence."""
    size = engine.config.block_size
    private = 0
    decoding = engine._scheduler.decoding
    for sequence in engine._scheduler.running.values():
        held = sequence.target
        if sequence.request.id in decoding.sequences:
            generated = decoding.steps - sequence.base
            held = sequence.request.prompt_tokens + generated - 1 + (engine._step_end is not None)
        private += -(-held // size) - len(sequence.shared)
    return private + len(engine._cache.pool._references)


def by_request(outputs: list[Output]) -> dict[str, list[Output]]:
    grouped: dict[str, list[Output]] = {}
    for output in outputs:
        grouped.setdefault(output.request_id, []).append(output)
    return grouped


@given(workloads())
def test_every_request_ends_once_with_all_its_tokens_in_order(workload: tuple[EngineConfig, list[Arrival]]) -> None:
    config, work = workload
    engine = engine_of(config)

    grouped = by_request(run(engine, work, interval=0.05))

    assert engine.is_empty
    for arrival in work:
        outputs = grouped[arrival.request.id]
        counts = [output.tokens for output in outputs]
        assert [output for output in outputs if output.completion] == [outputs[-1]]
        completion = outputs[-1].completion
        assert completion is not None
        if completion.finish_reason is FinishReason.ABORT:
            assert arrival.aborted_at is not None
            assert counts[:-1] == list(range(1, len(counts)))
            continue
        room = config.num_gpu_blocks * config.block_size - arrival.request.prompt_tokens + 1
        assert counts == list(range(1, min(arrival.request.output_tokens, room) + 1))
        times = [output.time for output in outputs]
        assert times == sorted(times)
        assert arrival.at <= completion.scheduled < completion.first_token <= completion.finished


@given(workloads(), st.sampled_from((0.001, 0.007, 0.4)))
def test_results_do_not_depend_on_how_often_step_is_called(
    workload: tuple[EngineConfig, list[Arrival]], interval: float
) -> None:
    config, work = workload

    rarely = run(engine_of(config), work)
    often = run(engine_of(config), work, interval=interval)

    assert rarely == often


@given(workloads())
def test_emitting_every_token_changes_no_time(workload: tuple[EngineConfig, list[Arrival]]) -> None:
    config, work = workload

    every = [output for output in run(engine_of(config), work) if output.completion]
    ends = [output for output in run(engine_of(config, every_token=False), work) if output.completion]

    assert every == ends


@given(workloads())
def test_requests_of_one_adapter_start_in_order_of_arrival(workload: tuple[EngineConfig, list[Arrival]]) -> None:
    config, work = workload
    work = [replace(arrival, aborted_at=None) for arrival in work if not arrival.request.remote_prefill]

    grouped = by_request(run(engine_of(config), work))

    for adapter in {arrival.request.adapter for arrival in work}:
        same = [grouped[a.request.id][-1].completion for a in work if a.request.adapter == adapter]
        starts = [completion.scheduled for completion in same if completion is not None]
        assert starts == sorted(starts)


@given(workloads())
def test_counters_agree_with_what_came_out(workload: tuple[EngineConfig, list[Arrival]]) -> None:
    config, work = workload
    engine = engine_of(config)

    completions = [output.completion for output in run(engine, work) if output.completion]

    metrics = engine.metrics
    assert sum(metrics.finished.values()) == len(work) == metrics.end_to_end.count
    assert metrics.generation_tokens == sum(completion.output_tokens for completion in completions)
    assert metrics.preemptions == sum(completion.preemptions for completion in completions)
    assert metrics.prompt_tokens == (
        metrics.prompt_tokens_computed + metrics.prompt_tokens_cached + metrics.prompt_tokens_transferred
    )
    assert metrics.prefix_cache_hits <= metrics.prefix_cache_queries
    assert metrics.time_to_first_token.count + metrics.inter_token_latency.count == metrics.generation_tokens
    if not config.enable_prefix_caching:
        assert metrics.prefix_cache_hits == 0


@given(workloads())
def test_cached_tokens_are_whole_blocks_and_never_the_last_token(
    workload: tuple[EngineConfig, list[Arrival]],
) -> None:
    config, work = workload

    for output in run(engine_of(config), work):
        if output.completion:
            assert output.completion.cached_tokens % config.block_size == 0
            assert output.completion.cached_tokens < output.completion.prompt_tokens


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=40),
)
def test_the_block_pool_conserves_blocks_and_hits_are_contiguous(
    capacity: int, operations: list[tuple[int, int, int]]
) -> None:
    pool = BlockPool(capacity)
    held: list[tuple[list[int], int]] = []
    for family, length, drop in operations:
        chain = [family * 100 + index for index in range(length)]
        hits = pool.hits(chain, length)
        assert all(pool.hits(chain, upto) == min(hits, upto) for upto in range(length))
        if length - hits <= pool.free - pool.idle_among(chain[:hits]):
            pool.hold(chain[:hits])
            pool.take(length - hits)
            shared = chain[:hits] + pool.share(chain[hits:])
            held.append((shared, length - len(shared)))
            assert pool.hits(chain, length) == length
        if held and drop < len(held):
            pool.release(*held.pop(drop))
        references = {block for shared, _ in held for block in shared}
        assert pool.used == len(references) + sum(private for _, private in held)
        assert 0 <= pool.free <= capacity
        assert pool.used + (pool.cached - len(references)) <= capacity
    for shared, private in held:
        pool.release(shared, private)
    assert pool.used == 0
    assert pool.reset()
    assert pool.cached == 0
