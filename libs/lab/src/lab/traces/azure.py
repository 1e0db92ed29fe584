"""Azure's published traces: CSV with times and the tokens of prompts and answers, not what prompts share. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from lab.traces import fields
from lab.traces.trace import TracedRequest

TIME, PROMPT, ANSWER = "TIMESTAMP", "ContextTokens", "GeneratedTokens"


def columns(header: str) -> Mapping[str, int] | None:
    """Where the three columns are; None where this is no header of the format."""
    names = [name.strip() for name in header.split(",")]
    if not {TIME, PROMPT, ANSWER} <= set(names):
        return None
    return {name: names.index(name) for name in (TIME, PROMPT, ANSWER)}


def request_of(line: bytes, places: Mapping[str, int]) -> TracedRequest:
    """One line's request."""
    cells = [cell.strip() for cell in line.decode("latin-1").split(",")]
    if len(cells) <= max(places.values()):
        raise fields.FieldError(f"expected {max(places.values()) + 1} columns, got {len(cells)}")
    return TracedRequest(
        at=_time(cells[places[TIME]]),
        prompt_tokens=_tokens(cells[places[PROMPT]], PROMPT),
        output_tokens=_tokens(cells[places[ANSWER]], ANSWER),
    )


def _time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise fields.FieldError(f"{TIME}: expected a time, got {fields.shown(text)}") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _tokens(text: str, name: str) -> int:
    is_whole = text.isascii() and text.isdigit() and len(text) < 20
    return fields.checked_tokens(int(text) if is_whole else text, name)
