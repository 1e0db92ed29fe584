"""Which stored answer a request is about: the response or conversation that its path or its body names. Pure.

/v1/responses/ID, …/ID/cancel, …/ID/input_items       retrieve, cancel, delete
/v1/conversations/ID, …/ID/items/ITEM                 likewise
{"previous_response_id": ID}, {"conversation": ID}    a response that builds on it
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from epp.domain import STORED_ID_LIMIT

_PATH: Final = re.compile(r"/(?:responses|conversations)/([^/?]+)")
_NO_IDS: Final = frozenset(("input_tokens", "compact"))  # actions of the API, in an id's place


def named_by_path(path: str) -> str | None:
    """The id in a path."""
    found = _PATH.search(path) if "/responses/" in path or "/conversations/" in path else None
    if found is None or found[1] in _NO_IDS:
        return None
    return unquote(found[1])[:STORED_ID_LIMIT]


def named_by_body(body: Mapping[str, object]) -> str | None:
    """The id on which a response builds."""
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    for value in (body.get("previous_response_id"), conversation):
        if isinstance(value, str) and 0 < len(value) <= STORED_ID_LIMIT:
            return value
    return None
