"""Coding agents find their caches again, whatever their clients change in every request."""

from collections.abc import Sequence
from random import Random

import orjson
import pytest

from epp.config import default_config
from model_sim import profiles
from tests.lab.agents import AGENTS, CLIENTS, agent_conversations
from tests.lab.fleet import Fleet, engine_config
from tests.lab.measures import measure
from tests.lab.policies import Pointsman
from tests.lab.workloads import Call, Conversation, call_of

ENGINES, RATE, WARM, UNTIL = 4, 4.0, 10.0, 22.0
BLOCK = 16
GOAL = 0.97  # of what one server with an endless cache would find there


class Watched(Pointsman):
    """Counts what an endless cache would hold of each prompt, in the order in which they come."""

    def __init__(self, random: Random) -> None:
        config = engine_config(profiles.load("h100-llama-3.1-8b"), AGENTS)
        super().__init__(default_config(), ENGINES, config, random)
        self._seen: set[int] = set()
        self.found = self.prompts = 0

    def choose(self, call: Call, now: float) -> int | None:
        hashes = call.request.block_hashes
        held = next((at for at, each in enumerate(hashes) if each not in self._seen), len(hashes))
        if now >= WARM:
            self.found += min(held * BLOCK, call.request.prompt_tokens)
            self.prompts += call.request.prompt_tokens
        self._seen.update(hashes)
        return super().choose(call, now)


def test_agents_hit_nearly_what_one_endless_server_would() -> None:
    profile, policy = profiles.load("h100-llama-3.1-8b"), Watched(Random(1))
    fleet = Fleet([profile.latency] * ENGINES, engine_config(profile, AGENTS), policy, 1)
    measured = measure(fleet.run(agent_conversations(RATE, UNTIL, 1), UNTIL), WARM, UNTIL, ENGINES)
    assert measured.hit_ratio >= GOAL * policy.found / policy.prompts


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
