"""ShareGPT-style JSON: conversations with their texts and without times. Pure.

A human's turn is a request with all that came before it. Texts become lengths and hashes of blocks, by the estimate of
four bytes a token; what is equal from the start on has equal blocks.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from lab.traces import fields
from lab.traces.trace import TracedRequest

BLOCK_TOKENS = 64
BYTES_PER_TOKEN = 4
_BLOCK_BYTES = BLOCK_TOKENS * BYTES_PER_TOKEN
_QUESTIONERS = frozenset(("human", "user", "system", "tool"))


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether an object is of this format."""
    return "conversations" in record or "messages" in record


def requests_of(record: Mapping[str, Any], number: int) -> Iterator[TracedRequest]:
    """A conversation's requests, one for each answer."""
    name = "conversations" if "conversations" in record else "messages"
    history, blocks, chain = b"", list[int](), b""
    for message in fields.items(record, name):
        text = _text(message, name)
        is_question = _author(message, name) in _QUESTIONERS
        if not is_question and history:
            chain = _extend(blocks, history, chain)
            yield TracedRequest(
                at=0.0,
                prompt_tokens=max(1, len(history) // BYTES_PER_TOKEN),
                output_tokens=max(1, len(text) // BYTES_PER_TOKEN),
                blocks=tuple(blocks),
                block_tokens=BLOCK_TOKENS,
                session=str(number),
            )
        history += text


def _extend(blocks: list[int], history: bytes, chain: bytes) -> bytes:
    """Add the whole blocks that are new; each hash covers all before it."""
    for at in range(len(blocks), len(history) // _BLOCK_BYTES):
        chain = blake2b(chain + history[at * _BLOCK_BYTES : (at + 1) * _BLOCK_BYTES], digest_size=8).digest()
        blocks.append(int.from_bytes(chain, "big"))
    return chain


def _author(message: Mapping[str, Any], name: str) -> str:
    author = fields.word(message, "from") or fields.word(message, "role")
    if author is None:
        raise fields.FieldError(f"{name}[].from: required")
    return author


def _text(message: Mapping[str, Any], name: str) -> bytes:
    text = message.get("value", message.get("content"))
    if not isinstance(text, str):
        raise fields.FieldError(f"{name}[].value: expected a text, got {fields.shown(text)}")
    return text.encode("utf-8", "surrogatepass")
