"""Engines that come, and come back, while requests arrive."""

from collections import Counter
from random import Random

import pytest

from epp.config import default_config
from lab.simulation.fleet import Change, Fleet, engine_config
from lab.simulation.measures import Record, measure
from lab.simulation.policies import Pointsman
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles

ENGINES, ALL = 4, frozenset(range(4))
CHANGED_AT, UNTIL = 40.0, 105.0
# Who is there first, and from `CHANGED_AT` on; what is needed for both.
CHANGES = {
    "two more": [Change(0.0, frozenset({0, 1})), Change(CHANGED_AT, ALL)],
    "three more": [Change(0.0, frozenset({0})), Change(CHANGED_AT, ALL)],
    "a restart": [Change(CHANGED_AT - 5, frozenset({0, 1, 2})), Change(CHANGED_AT, ALL)],
}
RATES = {"shared": 12.0, "one-12000": 6.0}


def run(workload: str, changes: list[Change], seed: int) -> list[Record]:
    profile, wanted = profiles.load("h100-llama-3.1-8b"), WORKLOADS[workload]
    config = engine_config(profile, wanted)
    fleet = Fleet([profile.latency] * ENGINES, config, Pointsman(default_config(), ENGINES, config, Random(seed)), seed)
    return fleet.run(wanted.conversations(RATES[workload], UNTIL, seed), UNTIL, changes)


@pytest.mark.parametrize(
    ("workload", "change"),
    [("shared", "two more"), ("shared", "a restart"), ("one-12000", "three more")],
)
def test_a_newcomer_carries_its_share_within_a_minute_and_first_tokens_stay_early(workload: str, change: str) -> None:
    records = run(workload, CHANGES[change], 1)
    before = measure(records, 15.0, CHANGED_AT - 5, ENGINES)
    during = measure(records, CHANGED_AT, CHANGED_AT + 30, ENGINES)
    assert during.ttft_p90 <= 1.2 * before.ttft_p90
    late = Counter(record.endpoint for record in records if record.arrival >= CHANGED_AT + 45)
    newest = late[ENGINES - 1] / late.total()
    assert newest >= 0.5 / ENGINES
