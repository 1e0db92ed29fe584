"""The lab's workloads: repeatable, in order, honest about text and tokens."""

from itertools import pairwise

import orjson
import pytest

from lab.workloads.conversations import (
    ADAPTER_SLOTS,
    ADAPTERS,
    WORKLOADS,
    Conversation,
    Workload,
    call_of,
    chat_conversations,
)

BLOCK = 16
ENGINES = 8


def conversations(workload: Workload, *, rate: float = 10.0, until: float = 10.0, seed: int = 1) -> list[Conversation]:
    return list(workload.conversations(rate, until, seed))


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_equal_seeds_give_equal_requests_and_other_seeds_others(workload: Workload) -> None:
    def bodies(seed: int) -> list[bytes]:
        return [call_of(each, each.first, BLOCK).body for each in conversations(workload, seed=seed)]

    assert bodies(1) == bodies(1)
    assert bodies(1) != bodies(2)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_conversations_come_in_order_of_their_start(workload: Workload) -> None:
    starts = [each.start for each in conversations(workload)]
    assert all(before <= after for before, after in pairwise(starts))
    assert starts[0] >= 0


@pytest.mark.parametrize("name", ["shared", "adapters"])
def test_single_turns_arrive_at_the_asked_rate(name: str) -> None:
    count = len(conversations(WORKLOADS[name], rate=20.0, until=50.0))
    assert 800 < count < 1200


def test_a_chat_run_begins_amid_conversations_at_nearly_the_asked_rate() -> None:
    begun = list(chat_conversations(10.0, 10.0, 1))
    early = sum(each.start < 5 for each in begun if each.first)
    fresh = sum(not each.first for each in begun)
    assert early > fresh  # most of what is said at first continues something


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_the_body_has_a_word_for_every_token_of_the_prompt_but_the_template_s_marks(workload: Workload) -> None:
    conversation = max(conversations(workload), key=lambda each: len(each.turns))
    last = len(conversation.turns) - 1
    call = call_of(conversation, last, BLOCK)
    messages = orjson.loads(call.body)["messages"]
    words = sum(len(message["content"].split()) for message in messages)
    marks = 2 * len(messages) + 1  # each message has two, and the answer's opening stands ready
    assert call.request.prompt_tokens == words + marks
    assert len(call.request.block_hashes) == (call.request.prompt_tokens + call.request.output_tokens) // BLOCK


def test_a_later_turn_begins_with_all_blocks_of_the_earlier_one_and_its_answer() -> None:
    conversation = next(each for each in chat_conversations(10.0, 10.0, 1) if len(each.turns) > 2)
    first, second = (call_of(conversation, turn, BLOCK).request for turn in (0, 1))
    assert list(second.block_hashes[: len(first.block_hashes)]) == list(first.block_hashes)


def test_there_are_more_adapters_than_the_fleet_has_slots_and_some_are_popular() -> None:
    adapters = [each.adapter for each in conversations(WORKLOADS["adapters"], rate=50.0, until=20.0)]
    assert ADAPTERS > ADAPTER_SLOTS * ENGINES
    assert adapters.count("adapter-0") > 5 * adapters.count("adapter-79") > 0 or adapters.count("adapter-79") == 0
    assert adapters.count("adapter-0") > 0.1 * len(adapters)


def test_equal_prompts_of_two_adapters_share_no_block() -> None:
    (one, *_) = conversations(WORKLOADS["adapters"])
    other = Conversation(one.id, one.start, "another", one.system, one.turns)
    ours, theirs = (set(call_of(each, 0, BLOCK).request.block_hashes) for each in (one, other))
    assert ours
    assert not ours & theirs
