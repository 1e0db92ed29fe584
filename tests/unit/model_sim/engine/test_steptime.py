"""Durations of steps: the two ways to ask for them agree."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from model_sim.engine.profile import LatencyProfile
from model_sim.engine.steptime import JITTER_FLOOR, NO_PROMPTS, PromptWork, StepTimes

COEFFICIENT = st.floats(0.0, 1.0)


@given(
    st.builds(LatencyProfile, base=COEFFICIENT, per_decode_sequence=COEFFICIENT, per_context_token=COEFFICIENT),
    st.integers(0, 5000),
    st.integers(1, 1000),
    st.integers(0, 10**7),
)
def test_a_step_that_only_decodes_takes_the_same_to_the_bit_either_way(profile, number, decoding, context):
    times = StepTimes(profile, Random(0))

    assert times.decode_step(number, decoding, context) == times.step(number, decoding, context, NO_PROMPTS)


def test_jitter_is_seeded_and_never_halves_a_step():
    profile = LatencyProfile(base=1.0, jitter=0.5)
    seconds = [StepTimes(profile, Random(7)).decode_step(number, 1, 10) for number in range(100)]

    assert seconds == [StepTimes(profile, Random(7)).decode_step(number, 1, 10) for number in range(100)]
    assert min(seconds) >= JITTER_FLOOR
    assert len(set(seconds)) > 50


def test_prompts_and_adapter_loads_add_to_a_step():
    times = StepTimes(LatencyProfile(base=1.0, per_prefill_token=0.5, per_prefill_pair=0.25), Random(0))

    assert times.step(0, 0, 0, PromptWork(tokens=4, pairs=8, load_seconds=2.0)) == 1.0 + 2.0 + 2.0 + 2.0
