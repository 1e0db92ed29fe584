"""From what a server serves to what it shall."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.adapters.config import Adapter, Config
from pointsman.adapters.steps import LONGEST_WAIT_SECONDS, Failures, Served, Step, Steps, steps_for

BASE = Served("base", "org/base", "")
FOOD = Adapter("food", "/food")
NAMES = st.sampled_from(["a", "b", "c", "d"])


def config(*exist: Adapter, absent: frozenset[str] = frozenset()) -> Config:
    return Config("h", 1, exist, absent)


def test_what_is_missing_is_loaded_and_what_shall_not_be_there_is_unloaded() -> None:
    found = steps_for(
        config(FOOD, absent=frozenset({"old", "gone"})), [BASE, Served("old", "/o", "base")], prunes=False
    )

    assert found == Steps((Step("old", None), Step("food", FOOD)), (), {})


def test_an_adapter_from_elsewhere_is_replaced() -> None:
    found = steps_for(config(FOOD), [BASE, Served("food", "/other", "base")], prunes=False)

    assert found.steps == (Step("food", FOOD, replace=True),)


def test_an_adapter_that_the_file_does_not_name_is_left_alone_unless_it_shall_be_pruned() -> None:
    served = [BASE, Served("food", "/food", "base"), Served("own", "/own", "base")]

    assert steps_for(config(FOOD), served, prunes=False) == Steps((), ("own",), {})
    assert steps_for(config(FOOD), served, prunes=True) == Steps((Step("own", None),), (), {})


def test_an_adapter_of_another_base_model_is_impossible_by_name_and_by_weights() -> None:
    other, by_root = Adapter("x", "/x", "other"), Adapter("y", "/y", "org/base")

    found = steps_for(config(other, by_root), [BASE], prunes=False)

    assert found.steps == (Step("y", by_root),)
    assert found.impossible == {"x": "it is an adapter of other, which is not served there"}


@given(st.frozensets(NAMES), st.frozensets(NAMES), st.frozensets(NAMES), st.booleans())
def test_after_the_steps_nothing_is_left_to_do(
    exist: frozenset[str], absent: frozenset[str], there: frozenset[str], prunes: bool
) -> None:
    wanted = config(*(Adapter(name, f"/{name}") for name in sorted(exist - absent)), absent=absent)
    served = {name: Served(name, f"/{name}", "base") for name in there}

    for step in steps_for(wanted, [BASE, *served.values()], prunes=prunes).steps:
        served.pop(step.name, None)
        if step.adapter is not None:
            served[step.name] = Served(step.name, step.adapter.source, "base")

    assert steps_for(wanted, [BASE, *served.values()], prunes=prunes).steps == ()
    assert exist - absent <= served.keys()
    assert not absent & served.keys()


def test_each_failure_in_a_row_waits_longer_up_to_a_minute() -> None:
    failures, now, waits = Failures(), 0.0, []
    for _ in range(8):
        failures = failures.with_failure("food", now)
        waits.append(failures.until["food"] - now)
        assert not failures.allows("food", failures.until["food"] - 0.1)
        now = failures.until["food"]
        assert failures.allows("food", now)

    assert waits == [2, 4, 8, 16, 32, *[LONGEST_WAIT_SECONDS] * 3]
    assert failures.without(["food"]) == Failures({}, {})
