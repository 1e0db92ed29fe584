"""Which field of the JSON a byte of the prompt comes from."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.domain import Request
from epp.prompts.apis import api_of
from epp.prompts.locating import locate
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest

BLOCK = 256
LONG = "words of some length " * 40
TOOLS = [{"type": "function", "function": {"name": f"tool_{at}", "description": LONG}} for at in range(3)]
CLAUDE_TOOLS = [{"name": f"tool_{at}", "description": LONG, "input_schema": {"type": "object"}} for at in range(3)]
QUESTION = {"role": "user", "content": "first " + LONG}


def parted(path: str, one: dict[str, object], other: dict[str, object]) -> str | None:
    """Where `other` leaves `one`, known to a block only."""
    first, second = (read(path, body) for body in (one, other))
    start = 0
    while first[: start + BLOCK] == second[: start + BLOCK]:
        start += BLOCK
    return locate(request(path, other), api_of(path), start, start + BLOCK)


def request(path: str, body: dict[str, object]) -> Request:
    return Request(None, "POST", path, {}, orjson.dumps({"model": "m"} | body))


def read(path: str, body: dict[str, object]) -> bytes:
    parsed = parse(request(path, body))
    assert isinstance(parsed, InferenceRequest)
    return parsed.canonical


CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


@pytest.mark.parametrize(
    ("path", "one", "other", "expected"),
    [
        (
            CHAT,
            {"messages": [{"role": "system", "content": LONG}, QUESTION]},
            {"messages": [{"role": "system", "content": LONG}, {"role": "user", "content": "other " + LONG}]},
            "messages[1]",
        ),
        (
            CHAT,
            {"messages": [QUESTION], "tools": TOOLS},
            {"messages": [QUESTION], "tools": [TOOLS[0], TOOLS[2]]},
            "tools[1]",
        ),
        (
            CHAT,
            {"messages": [QUESTION]},
            {"messages": [QUESTION, {"role": "assistant", "content": LONG}, QUESTION]},
            "messages[1]",
        ),
        (
            MESSAGES,
            {"system": [{"type": "text", "text": "time: 1"}, {"type": "text", "text": LONG}], "messages": [QUESTION]},
            {"system": [{"type": "text", "text": "time: 2"}, {"type": "text", "text": LONG}], "messages": [QUESTION]},
            "system[0].text",
        ),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": LONG}]}], "tools": CLAUDE_TOOLS},
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": LONG}, {"type": "text", "text": "now"}]}
                ],
                "tools": CLAUDE_TOOLS,
            },
            "messages[0].content[1].text",
        ),
        (
            RESPONSES,
            {"instructions": "be kind " + LONG, "input": "hi"},
            {"instructions": "be brief " + LONG, "input": "hi"},
            "instructions",
        ),
        (
            RESPONSES,
            {"instructions": LONG, "input": [QUESTION, QUESTION]},
            {"instructions": LONG, "input": [QUESTION, {"role": "user", "content": LONG}]},
            "input[1]",
        ),
    ],
)
def test_the_field_that_differs_is_named(
    path: str, one: dict[str, object], other: dict[str, object], expected: str
) -> None:
    assert parted(path, one, other) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 5}', b'{"model": 7, "messages": []}'])
def test_what_has_no_prompt_has_no_place(body: bytes) -> None:
    assert locate(Request(None, "POST", CHAT, {}, body), api_of(CHAT), 0, BLOCK) is None


@given(st.integers(0, 10_000), st.integers(0, 500))
def test_any_offset_is_answered(start: int, length: int) -> None:
    body = {"messages": [{"role": "system", "content": LONG}, QUESTION], "tools": TOOLS}
    found = locate(request(CHAT, body), api_of(CHAT), start, start + length)
    assert found is None or found.startswith(("messages[", "tools["))
