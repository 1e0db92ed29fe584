"""Prompts are rendered as an engine's template renders them, so that tokens and caches are like a real server's."""

from collections.abc import Mapping, Sequence

import orjson
import pytest

from epp.domain import Request
from epp.prompts.parsing import parse as read
from epp.prompts.request import InferenceRequest
from model_sim.api import chat, messages, responses
from model_sim.api.calls import ServedModel
from model_sim.text.tokenizer import BuiltinTokenizer
from tests.unit.epp.prompts.test_canonical import CHAT, MESSAGES, RESPONSES

MODEL = ServedModel("m", None, 1_000_000)
TOKENIZER = BuiltinTokenizer()
PARSERS = {"chat": chat.parse, "messages": messages.parse, "responses": responses.parse}
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
BODIES: Mapping[str, Mapping[str, object]] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}


def tokens(api: str, body: Mapping[str, object]) -> Sequence[int]:
    (prompt,) = PARSERS[api](body, MODEL, TOKENIZER).prompts
    return prompt


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def test_the_same_conversation_has_the_same_tokens_in_every_api() -> None:
    assert tokens("messages", MESSAGES) == tokens("chat", CHAT) == tokens("responses", RESPONSES)


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tools_cost_their_tokens_whatever_may_be_called(choice: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "word " * 5000, "parameters": {}}}
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": [tool], "tool_choice": choice}
    assert len(tokens("chat", body)) > 5000


def test_the_changing_line_of_claude_code_makes_no_tokens() -> None:
    def prompt(cch: str) -> Sequence[int]:
        line = {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.37; cch={cch};"}
        system = [line, {"type": "text", "text": "You are Claude Code."}]
        return tokens("messages", {**MESSAGES, "system": system})

    assert prompt("fa690") == prompt("0b1c2")


def test_reasoning_is_rendered_until_the_next_user_message() -> None:
    turns = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a", "reasoning_content": "because " * 100},
        {"role": "user", "content": "and"},
    ]
    assert len(tokens("chat", {"messages": turns[:2]})) > 100
    assert len(tokens("chat", {"messages": turns})) < 100


@pytest.mark.parametrize("api", BODIES)
@pytest.mark.parametrize("flip", [{"response_format": {"type": "text"}}, {"parallel_tool_calls": False}, {"seed": 4}])
def test_what_the_picker_leaves_out_makes_no_tokens(api: str, flip: Mapping[str, object]) -> None:
    assert tokens(api, {**BODIES[api], **flip}) == tokens(api, BODIES[api])


@pytest.mark.parametrize("api", BODIES)
def test_the_pickers_prompts_part_where_the_tokens_part(api: str) -> None:
    """Two requests of a family share about as much of their canonical prompts as of their tokens."""
    field = "input" if api == "responses" else "messages"
    turns = BODIES[api][field]
    assert isinstance(turns, list)
    body = {"model": "Qwen/Qwen3-32B", **BODIES[api]}
    long = "A long question of many words, and then some more of them. " * 40
    one, other = ({**body, field: [*turns[:-1], {"role": "user", "content": long + end}]} for end in ("yes", "no"))
    of_tokens = shared(tokens(api, one), tokens(api, other)) / len(tokens(api, one))
    first, second = canonical(api, one), canonical(api, other)
    of_bytes = next(at for at, pair in enumerate(zip(first, second, strict=False)) if len(set(pair)) > 1) / len(first)
    assert of_bytes == pytest.approx(of_tokens, abs=0.05)


def canonical(api: str, body: Mapping[str, object]) -> bytes:
    found = read(Request(None, "POST", PATHS[api], {}, orjson.dumps(body)))
    assert isinstance(found, InferenceRequest)
    return found.canonical
