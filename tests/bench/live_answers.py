"""Reads an answer's stream as a client of each API does: text or a tool's arguments, and the usage. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

Event = Mapping[str, Any]

CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"
RESPONSES: Final = "/v1/responses"
LIMIT_NAMES: Final[Mapping[str, str]] = {
    CHAT: "max_tokens",
    MESSAGES: "max_tokens",
    RESPONSES: "max_output_tokens",
}


@dataclass(slots=True)
class Answer:
    """Tokens of the prompt, those of them that were cached, and those of the answer."""

    text: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0

    def read(self, path: str, line: str) -> bool:
        """Take one line of a stream; whether it brought text."""
        if not line.startswith("data: {"):
            return False
        event = orjson.loads(line[6:])
        words = _READERS[path](self, event)
        self.text += words
        return bool(words)


def _chat(answer: Answer, event: Event) -> str:
    if usage := event.get("usage"):
        details = usage.get("prompt_tokens_details") or {}
        answer.prompt_tokens, answer.answer_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        answer.cached_tokens = details.get("cached_tokens") or 0
    return "".join([_words(choice["delta"]) for choice in event["choices"]])


def _messages(answer: Answer, event: Event) -> str:
    usage = event.get("usage") or event.get("message", {}).get("usage") or {}
    if "input_tokens" in usage:  # what was cached is counted beside them
        answer.cached_tokens = usage.get("cache_read_input_tokens") or 0
        answer.prompt_tokens = usage["input_tokens"] + answer.cached_tokens
    answer.answer_tokens = usage.get("output_tokens") or answer.answer_tokens
    delta = event["delta"] if event["type"] == "content_block_delta" else {}
    return str(delta.get("text") or delta.get("partial_json") or "")


def _responses(answer: Answer, event: Event) -> str:
    if event["type"] == "response.completed":
        usage = event["response"]["usage"]
        answer.prompt_tokens, answer.answer_tokens = usage["input_tokens"], usage["output_tokens"]
        answer.cached_tokens = usage["input_tokens_details"]["cached_tokens"]
    return str(event["delta"]) if event["type"].endswith(".delta") else ""


def _words(delta: Event) -> str:
    """Text, or what a tool is called with."""
    calls = [call["function"].get("arguments") or "" for call in delta.get("tool_calls") or ()]
    return (delta.get("content") or "") + "".join(calls)


_READERS: Final = {CHAT: _chat, MESSAGES: _messages, RESPONSES: _responses}
