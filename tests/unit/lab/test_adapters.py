"""More adapters than slots: the default loads them less often than what sees only those that run, and is faster."""

from tests.lab.adapters import loaded, policies

RATE, SEED, WINDOW = 20.0, 81, (20.0, 40.0)


def test_the_default_loads_fewer_adapters_and_answers_sooner_than_the_others() -> None:
    *others, default = policies()
    ours = loaded(default, RATE, SEED, WINDOW)
    for each in others:
        other = loaded(each, RATE, SEED, WINDOW)
        assert ours.loads < 0.97 * other.loads
        assert ours.measures.ttft_p90 < 0.9 * other.measures.ttft_p90
