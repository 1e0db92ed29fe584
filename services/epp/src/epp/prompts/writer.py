"""Collects a canonical prompt: what the engine's chat template makes of a request, piece by piece. Pure.

Two requests whose token prefix is equal have an equal canonical prefix. A turn begins with a mark, its role and another
mark; marks are control characters, so that no text looks like one. Four bytes count as one token, media included.
"""

from collections.abc import Mapping, Sequence

import orjson

from epp.prompts.families import Family
from epp.prompts.invalid import Place, invalid, too_deep, wrong_kind
from epp.prompts.media import UNREADABLE_TOKENS
from epp.prompts.volatile import without_billing, without_lines

BYTES_PER_TOKEN = 4  # the estimate that upstream's token producer uses, too
# Messages, their parts and listed prompts of one request together. Each costs the picker half a microsecond in which it
# decides nothing else; a request of millions would stall every other one for seconds. No prompt has so many.
ITEM_LIMIT = 100_000
# Tokens of all media of one request, as far as they are counted: no engine takes more, and a hundred thousand headers
# that claim huge pictures would fill gigabytes.
MEDIA_TOKENS_LIMIT = 1_000_000

TURN, FIELD, TOOL = b"\x1e", b"\x1f", b"\x1d"
# Of objects that are no known kind: members that name the object or mark it for a cache, and make no tokens.
VOLATILE_MEMBERS = frozenset(
    ("id", "call_id", "item_id", "status", "cache_control", "encrypted_content", "created_at", "completed_at",
     "timestamp", "signature")
)  # fmt: skip

_HEADS = {role: TURN + role.encode() + FIELD for role in ("system", "user", "assistant", "tool")}

JsonObject = Mapping[str, object]


class Writer:
    """One request's pieces, in order."""

    __slots__ = (
        "_count",
        "_volatile",
        "family",
        "has_media",
        "media_tokens",
        "opening",
        "pieces",
        "places",
        "role",
        "shows_reasoning",
    )

    def __init__(self, family: Family, volatile: Sequence[str] = ()) -> None:
        self.family = family
        self.pieces: list[bytes] = []
        self.places: list[tuple[int, Place]] | None = None  # where each place's pieces begin, if anybody asks
        self.has_media = False
        self.media_tokens = 0
        self.role = ""  # of the turn that is open
        self.shows_reasoning = False  # whether the template renders the reasoning of the turn that is open
        self.opening = 0  # bytes up to the end of the first user turn
        self._count = 0
        self._volatile = volatile

    def canonical(self) -> bytes:
        return b"".join(self.pieces)

    def mark(self, place: Place) -> None:
        """What follows stands there. Call it only where somebody asks for places: a transcript has thousands."""
        if self.places is not None:
            self.places.append((len(self.pieces), place))

    def insert(self, pieces: Sequence[bytes], places: Sequence[tuple[int, Place]]) -> None:
        """Pieces that were written before their turn."""
        ahead = len(self.pieces)
        self.pieces += pieces
        if self.places is not None:
            self.places += [(ahead + at, place) for at, place in places]

    def take(self, items: Sequence[object], param: str) -> None:
        """Count the items of a list that is gone through one by one."""
        self._count += len(items)
        if self._count > ITEM_LIMIT:
            raise invalid(f"{param!r} has more than {ITEM_LIMIT} items", param)

    def turn(self, role: str) -> None:
        """Begin a turn."""
        self.role = role
        head = _HEADS.get(role)
        self.pieces.append(head if head is not None else TURN + role.encode() + FIELD)

    def text(self, text: str) -> None:
        """Text of a turn."""
        self.pieces.append((without_lines(text, self._volatile) if self._volatile else text).encode())

    def system_text(self, text: str) -> None:
        """Text of a system prompt: lines that change with each request leave it."""
        text = without_billing(text)
        self.pieces.append((without_lines(text, self._volatile) if self._volatile else text).encode())

    def field(self, name: str, value: str) -> None:
        """A named string within a turn."""
        self.pieces += (FIELD, name.encode(), FIELD, value.encode(), FIELD)

    def medium(self, digest: bytes, tokens: int) -> None:
        """A picture or sound: its hash over as many bytes as its tokens have."""
        if self.media_tokens + tokens > MEDIA_TOKENS_LIMIT:
            tokens = UNREADABLE_TOKENS
        self.has_media = True
        self.media_tokens += tokens
        size = max(tokens * BYTES_PER_TOKEN, len(digest))
        self.pieces.append((digest * -(-size // len(digest)))[:size])

    def call(self, name: object, arguments: object, call_id: object, place: Place) -> None:
        """A tool call of an answer. Templates render arguments anew, so that blanks between them do not count."""
        self.pieces += (TOOL, text_of(name), FIELD)
        if isinstance(arguments, str):
            self.pieces.append(_compact(arguments.encode()) if " " in arguments else arguments.encode())
        elif arguments is not None:
            self.pieces.append(_compact(dump(arguments, place)))
        if self.family.has_call_ids:
            self.pieces += (FIELD, text_of(call_id))

    def tools(self, tools: object, place: Place) -> None:
        """The declared tools, in every API's shape: names, descriptions and schemas in the client's order."""
        if not isinstance(tools, list):
            self.pieces += (TOOL, dump(tools, place))
            return
        self.take(tools, place[0])
        for index, tool in enumerate(tools):
            if self.places is not None:
                self.mark((*place, index))
            function = tool.get("function") if isinstance(tool, dict) else None
            shown = function if isinstance(function, dict) else tool
            if not isinstance(shown, dict) or not isinstance(name := shown.get("name"), str):
                self.pieces += (TOOL, self.unknown(tool, (*place, index)))
                continue
            schema = shown.get("parameters")
            if schema is None:
                schema = shown.get("input_schema")
            self.pieces += (
                TOOL, name.encode(), FIELD, text_of(shown.get("description")), FIELD, dump(schema, (*place, index)),
            )  # fmt: skip

    def argument(self, name: str, value: object) -> None:
        """What else a template receives."""
        self.mark((name,))
        self.pieces += (TOOL, name.encode(), FIELD, dump(value, (name,)))

    def unknown(self, value: object, place: Place) -> bytes:
        """An object of no known kind, without what only names it."""
        if isinstance(value, dict):
            value = {key: each for key, each in value.items() if key not in VOLATILE_MEMBERS}
        return dump(value, place)

    def mark_opening(self) -> None:
        """The first user turn ends here."""
        if not self.opening:
            self.opening = sum(map(len, self.pieces))


def filled_list(body: JsonObject, param: str) -> Sequence[object]:
    """A list that must be there and hold something."""
    value = body.get(param)
    if not isinstance(value, list) or not value:
        raise invalid(f"{param!r} {'is missing' if param not in body else 'must be a non-empty list'}", param)
    return value


def check_role(role: object, place: Place) -> str:
    """A role; older clients leave it away."""
    if role is None:
        return ""
    if not isinstance(role, str):
        raise wrong_kind((*place, "role"), "a string", role)
    return role


def text_of(value: object) -> bytes:
    """A string's bytes; another kind has none."""
    return value.encode() if isinstance(value, str) else b""


def dump(value: object, place: Place) -> bytes:
    """A value as compact JSON, in the client's order: templates keep it."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # nested deeper than any real prompt
        raise too_deep(place) from None


def _compact(arguments: bytes) -> bytes:
    """JSON without the blanks after colons and commas: as both kinds of writers would have it."""
    return arguments.replace(b'": ', b'":').replace(b', "', b',"')
