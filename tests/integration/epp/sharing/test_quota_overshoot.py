"""Twenty clients on three replicas: how far over a quota of tokens they get."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import cycle

import pytest

from epp.sharing.quota_counters import RedisCounters
from gateway.quotas.estimates import Answer
from gateway.quotas.quotas import Quotas
from gateway.quotas.rules import Condition, Measure, Rule, RuleSet
from gateway.quotas.usage import Usage
from gateway.quotas.verdicts import Verdict
from gateway.quotas.windows import Window
from tests.integration.epp.conftest import RedisServer
from tests.integration.epp.sharing.test_quota_counters import replicas, until_used

pytestmark = pytest.mark.redis
NOON = 1_764_331_200.0
CLIENTS, TOKENS, LIMIT = 20, 100, 10_000
RULE = Rule("r", "r", (Condition("tenant", "acme"),), Measure.TOKENS, LIMIT, Window(3600.0), "r")
SUBJECT = {"tenant": "acme"}


class Nobody:
    def decided(self, verdict: Verdict) -> None: ...

    def charged(self, usage: Usage) -> None: ...


def gates(counters: Sequence[RedisCounters]) -> Iterator[Quotas]:
    """The replicas in turn, as a proxy asks them."""
    made = [Quotas(each, Nobody()) for each in counters]
    for each in made:
        each.replace(RuleSet([RULE]))
    return cycle(made)


async def client(turns: Iterator[Quotas], seconds: float) -> int:
    """Ask until it is refused; the tokens that it got. What it got is charged elsewhere than the next one is asked."""
    used = 0
    while True:
        decided: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        next(turns).admit(SUBJECT, NOON, decided.set_result)
        verdict = await decided
        if verdict.refused_by is not None:
            return used
        await asyncio.sleep(seconds)
        answer = Answer(200, 1, 10, 10, prompt=0, completion=TOKENS)
        next(turns).charge(SUBJECT, answer, NOON, verdict.reserved)
        used += TOKENS


async def test_clients_go_over_by_less_than_an_answer_each_and_all_of_it_is_counted(
    redis_server: RedisServer,
) -> None:
    async with replicas(redis_server, 3) as counters:
        turns = gates(counters)
        async with asyncio.timeout(60):
            used = await asyncio.gather(*(client(turns, 0.1 + number / 1000) for number in range(CLIENTS)))

        # Those that were asked before any answer was known take nothing beforehand: one for each client.
        assert LIMIT <= sum(used) <= LIMIT + CLIENTS * TOKENS
        await until_used(counters[0], sum(used), RULE.counter(SUBJECT), RULE.window)
