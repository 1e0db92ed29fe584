"""Lines that change with every request leave the hash; nothing else does."""

from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.prompts.volatile import without_billing, without_lines
from gateway.wire.volatile_lines import STARTS_LIMIT
from tests.unit.epp.prompts.reading import read

BILLING = "x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch={};"


def claude_code(cch: str, *, is_joined: bool) -> bytes:
    lines = [BILLING.format(cch), "You are Claude Code."]
    texts = ["\n".join(lines)] if is_joined else lines
    system = [{"type": "text", "text": text} for text in texts]
    return read("messages", {"system": system, "messages": [{"role": "user", "content": "hi"}]}).canonical


@pytest.mark.parametrize("is_joined", [True, False])
def test_the_billing_line_of_claude_code_is_no_part_of_the_prompt(*, is_joined: bool) -> None:
    assert claude_code("fa690", is_joined=is_joined) == claude_code("00aaf", is_joined=is_joined)
    assert b"You are Claude Code." in claude_code("fa690", is_joined=is_joined)


@pytest.mark.parametrize("line", [BILLING.format("1"), BILLING.format("2").upper(), "  X-Anthropic-Billing-Header: 3"])
def test_every_spelling_leaves_in_every_api(line: str) -> None:
    text = f"{line}\nYou help."
    chat = read("chat", {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "u"}]})
    responses = read("responses", {"instructions": text, "input": "u"})
    plain = read("responses", {"instructions": "You help.", "input": "u"})
    assert chat.canonical == responses.canonical == plain.canonical


def test_the_same_words_within_a_line_stay() -> None:
    text = "Explain the x-anthropic-billing-header to me"
    assert without_billing(text) == text


def test_an_operators_lines_leave_every_text() -> None:
    def canonical(now: str) -> bytes:
        messages = [{"role": "user", "content": f"hello\n  Current time: {now}\nbye"}]
        return read("chat", {"messages": messages}, volatile=["Current time:"]).canonical

    assert canonical("10:00") == canonical("11:30")
    assert b"hello\nbye" in canonical("12:00")


@given(st.lists(st.sampled_from(["time: 1", "a time: 2", " time:", "x", ""]), max_size=8))
def test_whole_lines_leave_and_no_others(lines: list[str]) -> None:
    kept = [line for line in lines if not line.strip(" \t").startswith("time:")]
    found = without_lines("\n".join(lines), ["time:"])
    assert [line for line in found.split("\n") if line] == [line for line in kept if line]


def test_matching_is_linear_whatever_the_pattern() -> None:
    text, pattern = "a" * 1_000_000, "a" * 199 + "b"
    began = thread_time()
    assert without_lines(text, [pattern] * STARTS_LIMIT) == text
    assert without_lines("ab" * 500_000, ["aba"]) == ""
    assert without_lines("x ab" * 250_000, ["ab"]) == "x ab" * 250_000
    assert thread_time() - began < 5
