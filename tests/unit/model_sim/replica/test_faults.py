"""Faults as values: merging, showing, drawing, coming and going."""

from random import Random
from typing import Any

import pytest

from model_sim.api.errors import ApiError
from model_sim.replica.faults import Faults, merged

EVERYTHING: dict[str, Any] = {
    "error": {"rate": 0.5, "status": 503, "retry_after": 1.0, "message": "busy"},
    "reset": {"rate": 1.0},
    "not_http": {"rate": 1.0},
    "hang": {"rate": 0.1},
    "first_byte": {"rate": 1.0, "seconds": 2.0},
    "spike": {"rate": 1.0, "seconds": 2.0},
    "drip": {"rate": 1.0, "seconds": 0.5},
    "hold": {"rate": 1.0, "after_tokens": 3},
    "cut": {"rate": 1.0, "after_tokens": 5},
    "truncate": {"rate": 1.0, "after_tokens": None},
    "adapters": ["tuned"],
    "cycle": {"seconds": 10.0, "active": 3.0},
    "crash_after": 100,
    "health": 503,
    "speed": 0.5,
    "frozen": True,
    "metrics": {"num_requests_waiting": 50.0},
    "metrics_mode": "slow",
    "metrics_delay": 1.0,
}


def set_to(**body: Any) -> Faults:
    return merged(Faults(), body)


def test_what_is_shown_sets_the_same_faults_again():
    faults = set_to(**EVERYTHING)

    assert faults.document() == EVERYTHING
    assert merged(Faults(), faults.document()) == faults


def test_null_removes_any_fault_and_leaves_the_others():
    faults = set_to(**EVERYTHING)
    for name in EVERYTHING:
        faults = merged(faults, {name: None})
        assert name not in faults.document()

    assert faults == Faults()


def test_a_cycle_has_its_faults_in_force_for_its_first_seconds():
    faults = set_to(error={"status": 503}, health=503, metrics_mode="error", cycle={"seconds": 10, "active": 3})

    active = [second for second in range(40) if faults.at(second).draw("m", Random(0))]

    assert active == [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]
    assert (faults.at(5).health, faults.at(5).metrics_mode) == (None, None)
    assert faults.at(12.5) == faults


def test_an_engine_fault_is_not_part_of_a_cycle():
    assert set_to(speed=0.5, frozen=True, cycle={"seconds": 10, "active": 3}).at(5).speed == 0.5


@pytest.mark.parametrize(
    "body",
    [
        {"reset": {"status": 500}},
        {"drip": {"after_tokens": 1}},
        {"hold": {"seconds": 1}},
        {"speed": 0},
        {"frozen": "perhaps"},
        {"cycle": {"seconds": 10}},
        {"cycle": {"seconds": 10, "active": 3, "phase": 1}},
        {"cycle": {"seconds": 0, "active": 3}},
    ],
)
def test_a_parameter_without_effect_or_sense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        merged(Faults(), body)
