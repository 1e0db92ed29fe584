"""Which conversation a request belongs to, from what clients send without being asked. Pure.

The first of these that holds a value, in this order (docs/scheduling.md has the clients and sources):

    x-claude-code-session-id                     Claude Code from 2.1.86
    metadata.user_id                             Claude Code before, and with it: the session within it
    session-id, session_id                       Codex; pi, OpenRouter's clients and older Codex
    x-session-id, x-session-affinity             OpenCode, Crush, gateways
    x-opencode-session                           OpenCode Go's clients
    prompt_cache_key                             Codex, OpenAI's SDKs
    conversation, previous_response_id           the responses API, OpenAI's Agents SDK

Ids of single requests (`x-request-id`, `x-client-request-id`) are never taken. With none of them the opening of the
prompt, system and first user turn, stands for the conversation.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import orjson
import xxhash

SESSION_HEADERS: Final = (
    "session-id",
    "session_id",
    "x-session-id",
    "x-session-affinity",
    "x-opencode-session",
)
CLAUDE_CODE_HEADER: Final = "x-claude-code-session-id"
OPENING: Final = "opening"
PREVIOUS_RESPONSE: Final = "previous_response_id"
CONFIGURED: Final = "configured"  # the header or cookie that the configuration names
# A longer id is kept as its hash: ids of any length cost the maps that hold them the same.
ID_LENGTH_LIMIT: Final = 128
# Claude Code's user id is a JSON object of a few hundred bytes; a longer one is not parsed.
USER_ID_LIMIT: Final = 4096
_USER_ID_MARK: Final = "_session_"

JsonObject = Mapping[str, object]


class Session(NamedTuple):
    """A conversation. `source` is the field that named it, for explanations; `id` is at most `ID_LENGTH_LIMIT` long.

    `tenant` is whose conversation it is, where that is known: two tenants may choose the same id.
    """

    source: str
    id: str
    tenant: str = ""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.tenant}\0{self.id}" if self.tenant else self.id

    def of(self, tenant: object) -> "Session":
        """The same, as one of a tenant's; no tenant changes nothing."""
        return Session(self.source, self.id, found) if (found := _usable(tenant)) else self


def session_of(headers: Mapping[str, str], body: JsonObject) -> Session | None:
    """The conversation that a request names, or None."""
    if headers.keys().isdisjoint(_HEADERS) and body.keys().isdisjoint(_NAMING_MEMBERS):
        return None
    if (value := headers.get(CLAUDE_CODE_HEADER)) and (found := _usable(value)):
        return Session(CLAUDE_CODE_HEADER, found)
    if (metadata := body.get("metadata")) is not None and (found := _of_user_id(metadata)):
        return Session("metadata.user_id", found)
    for name in SESSION_HEADERS:
        if (value := headers.get(name)) and (found := _usable(value)):
            return Session(name, found)
    for name, read in _MEMBERS:
        if (member := body.get(name)) is not None and (found := read(member)):
            return Session(name, found)
    return None


def opening_session(canonical: bytes, opening: int) -> Session | None:
    """The conversation by its opening: the first so many bytes of its canonical prompt."""
    if not opening:
        return None
    return Session(OPENING, xxhash.xxh3_128_hexdigest(memoryview(canonical)[:opening]))


def _of_user_id(metadata: object) -> str:
    """The session in Anthropic's `metadata.user_id`: a JSON object, or `user_…_account_…_session_…`."""
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user_id, str) or len(user_id) > USER_ID_LIMIT:
        return ""
    if user_id.startswith("{"):
        try:
            parsed = orjson.loads(user_id)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            return ""
        return _usable(parsed.get("session_id"))
    _, mark, session = user_id.rpartition(_USER_ID_MARK)
    return _usable(session) if mark else ""


def _of_conversation(value: object) -> str:
    """`conversation` is an id or an object with one."""
    return _usable(value.get("id") if isinstance(value, dict) else value)


def _usable(value: object) -> str:
    """A session id as it is kept, or nothing."""
    if not isinstance(value, str) or not (value := value.strip()):
        return ""
    if len(value) <= ID_LENGTH_LIMIT:
        return value
    return xxhash.xxh3_128_hexdigest(value.encode("utf-8", "surrogatepass"))


_HEADERS: Final = (CLAUDE_CODE_HEADER, *SESSION_HEADERS)
_MEMBERS: Final[tuple[tuple[str, Callable[[object], str]], ...]] = (
    ("prompt_cache_key", _usable),
    ("conversation", _of_conversation),
    (PREVIOUS_RESPONSE, _usable),
)
_NAMING_MEMBERS: Final = ("metadata", *(name for name, _ in _MEMBERS))
