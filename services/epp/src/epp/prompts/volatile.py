"""Lines of a prompt that change with every request and make no tokens. Pure.

Claude Code puts `x-anthropic-billing-header: …; cch=…;` before its system prompt, and its value changes each time. vLLM
drops the block it starts (vllm-project/vllm#36829), llama.cpp, vllm-mlx and others drop the line. Left in the hash, it
would end every match there. A pattern is the start of a line, compared literally: matching takes one search for each
pattern, linear in the text, whatever an operator writes.
"""

from collections.abc import Sequence
from typing import Final

BILLING_LINE: Final = "x-anthropic-billing-header"  # in any case of letters
# Where billing lines are looked for: at the start of each part of a system prompt, which may have megabytes.
_HEAD_CHARACTERS: Final = 512
_HEAD_LINES: Final = 8


def without_billing(text: str) -> str:
    """Part of a system prompt without the billing lines at its start."""
    if BILLING_LINE not in text[:_HEAD_CHARACTERS].lower():
        return text
    lines = text.split("\n", _HEAD_LINES)
    return "\n".join(line for line in lines if not line[:_HEAD_CHARACTERS].lstrip().lower().startswith(BILLING_LINE))


def without_lines(text: str, starts: Sequence[str]) -> str:
    """The text without the lines that begin like this; blanks before the beginning do not count."""
    for start in starts:
        if start in text:
            text = _without(text, start)
    return text


def _without(text: str, start: str) -> str:
    kept: list[str] = []
    at = done = 0
    while (at := text.find(start, at)) >= 0:
        line = text.rfind("\n", done, at) + 1 or done  # of what was not looked at yet: each character is seen once
        end = text.find("\n", at)
        end = len(text) if end < 0 else end + 1
        if not text[line:at].strip(" \t"):
            kept.append(text[done:line])
        else:
            kept.append(text[done:end])
        at = done = end
    kept.append(text[done:])
    return "".join(kept)
