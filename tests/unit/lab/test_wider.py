"""The wider workloads: repeatable, in order, and with the prefixes that they say."""

from itertools import pairwise
from random import Random

import orjson
import pytest

from epp.domain import Request
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest
from lab.workloads.conversations import WORKLOADS, Call, Conversation, call_of
from lab.workloads.sessions import BLOCK_TOKENS, conversations_of, made_up_session
from lab.workloads.wider import COMPACTED_AFTER, ITEMS, WIDER

BLOCK = 16
NAMES = sorted(WIDER.keys() - WORKLOADS.keys())


def conversations(name: str, *, rate: float = 10.0, until: float = 5.0, seed: int = 1) -> list[Conversation]:
    return list(WIDER[name].conversations(rate, until, seed))


def shared_blocks(one: Call, other: Call) -> int:
    pairs = zip(one.request.block_hashes, other.request.block_hashes, strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), len(one.request.block_hashes))


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_requests_in_order_of_their_start(name: str) -> None:
    first, again = conversations(name), conversations(name)
    assert [call_of(each, each.first, BLOCK).body for each in first] == [
        call_of(each, each.first, BLOCK).body for each in again
    ]
    assert all(before.start <= after.start for before, after in pairwise(first))
    assert conversations(name, seed=2) != first


@pytest.mark.parametrize("name", NAMES)
def test_the_picker_reads_every_body_and_estimates_its_tokens(name: str) -> None:
    for each in conversations(name)[:20]:
        call = call_of(each, each.first, BLOCK)
        found = parse(Request(None, "POST", call.path, {"content-type": "application/json", **call.headers}, call.body))
        assert isinstance(found, InferenceRequest)
        assert found.prompt_tokens == pytest.approx(call.request.prompt_tokens, rel=0.4)


def test_the_items_of_a_job_begin_alike_and_come_within_a_second() -> None:
    first, *others = sorted(conversations("batch", rate=80.0), key=lambda each: each.id)[:ITEMS]
    for each in others:
        assert abs(each.start - first.start) < 1
        assert each.system is first.system


def test_a_picture_shown_again_is_the_same_tokens() -> None:
    calls = [call_of(each, 0, BLOCK) for each in conversations("media", rate=100.0)]
    urls = [orjson.loads(call.body)["messages"][1]["content"][0]["image_url"]["url"] for call in calls]
    again = next(at for at, url in enumerate(urls) if url in urls[:at])
    before = urls.index(urls[again])
    other = next(at for at, url in enumerate(urls) if url != urls[again])
    assert shared_blocks(calls[before], calls[again]) > 1300 // BLOCK  # the picture's own 1369 tokens among them
    assert shared_blocks(calls[other], calls[again]) < 350 // BLOCK  # the system prompt


def test_compaction_leaves_the_tools_and_a_summary() -> None:
    session = next(each for each in conversations("agents-long") if len(each.turns) > COMPACTED_AFTER)
    before, after = (call_of(session, turn, BLOCK) for turn in (COMPACTED_AFTER - 1, COMPACTED_AFTER))
    assert after.request.prompt_tokens < before.request.prompt_tokens
    assert shared_blocks(before, after) == pytest.approx(len(session.system.tokens) / BLOCK, abs=2)
    assert session.turns[0].question.text not in after.body.decode()


def test_a_trace_s_prompts_share_what_its_hashes_share() -> None:
    session = {
        "id": "s", "block_size": BLOCK_TOKENS,
        "requests": [
            {"type": "n", "t": 0.0, "in": 190, "out": 5, "hash_ids": [1, 2, 3], "api_time": 1.0},
            {"type": "subagent", "t": 1.5, "requests": [
                {"type": "s", "t": 1.5, "in": 64, "out": 5, "hash_ids": [9], "api_time": 1.0},
            ]},
            {"type": "s", "t": 4.0, "in": 256, "out": 5, "hash_ids": [1, 2, 7, 8], "api_time": 1.0},
        ],
    }  # fmt: skip
    main, helper = conversations_of(session, 0, 10.0)
    first, second = (call_of(main, turn, BLOCK_TOKENS) for turn in (0, 1))
    assert (main.start, helper.start, main.turns[1].pause) == (10.0, 11.5, 3.0)
    assert [len(turn.question.tokens) for turn in main.turns] == [190, 256]
    assert shared_blocks(first, second) == 2
    assert shared_blocks(call_of(helper, 0, BLOCK_TOKENS), first) == 0
    assert first.headers == {"x-session-id": "s"}


def test_a_trace_that_began_before_the_run_goes_on_in_it() -> None:
    session = next(found for seed in range(9) if len((found := made_up_session(1, Random(seed)))["requests"]) > 5)
    whole, rest = next(conversations_of(session, 1, 0.0)), next(conversations_of(session, 1, -6.0))
    assert whole.first == 0 < rest.first
    assert rest.start >= 0
    assert call_of(rest, rest.first, BLOCK).body == call_of(whole, rest.first, BLOCK).body
