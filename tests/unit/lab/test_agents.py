"""Coding agents find their caches again, whatever their clients change in every request."""

from collections.abc import Sequence
from random import Random

import orjson
import pytest

from epp.config import default_config
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import measure
from lab.simulation.policies import Pointsman
from lab.workloads.agents import AGENTS, CLIENTS, agent_conversations
from lab.workloads.conversations import Conversation, call_of
from model_sim import profiles
from tests.lab.endless import EndlessCache, watched

ENGINES, RATE, WARM, UNTIL = 4, 4.0, 10.0, 22.0
BLOCK = 16
GOAL = 0.97  # of what one server with an endless cache would find there


def test_agents_hit_nearly_what_one_endless_server_would() -> None:
    profile, cache = profiles.load("h100-llama-3.1-8b"), EndlessCache(BLOCK, WARM)
    config = engine_config(profile, AGENTS)
    policy = watched(Pointsman(default_config(), ENGINES, config, Random(1)), cache)
    fleet = Fleet([profile.latency] * ENGINES, config, policy, 1)
    measured = measure(fleet.run(agent_conversations(RATE, UNTIL, 1), UNTIL), WARM, UNTIL, ENGINES)
    assert measured.hit_ratio >= GOAL * cache.hit_ratio


def sessions() -> Sequence[Conversation]:
    return list(agent_conversations(RATE, 5.0, 1))


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_s_requests_hold_all_that_was_said_and_change_what_the_client_changes(name: str) -> None:
    session = next(each for each in sessions() if each.render is CLIENTS[name])
    first, second = (call_of(session, turn, BLOCK) for turn in (2, 3))
    for turn in session.turns[:3]:
        assert turn.question.text in second.body.decode()
        assert turn.answer.text in second.body.decode()
    assert session.turns[3].question.text not in first.body.decode()
    assert orjson.loads(first.body)["model"] == orjson.loads(second.body)["model"]
    shared = len(first.body) - 200
    if name != "opencode":  # its requests differ at their end alone
        assert first.body[:shared] != second.body[:shared]
