"""What a request says, as plugins see it: headers, the parsed body, and the texts in it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
NO_VECTORS: Final[Mapping[str, Sequence[float]]] = MappingProxyType({})
# Where APIs put what a model reads: OpenAI's, Anthropic's, vLLM's own.
_INSTRUCTIONS: Final = ("system", "instructions")
_PROMPTS: Final = ("prompt", "input", "query", "documents", "text_1", "text_2", "suffix")
_READ: Final = frozenset(("messages", "tools", *_INSTRUCTIONS, *_PROMPTS))
_SYSTEM_ROLES: Final = frozenset(("system", "developer"))
_KINDS: Final = frozenset(("role", "type"))
_MEDIA_FIELDS: Final = frozenset(("data", "url", "image_url", "file_data"))
_END: Final = object()
_MEDIA: Final = frozenset((
    "image_url", "input_image", "image", "input_audio", "audio_url", "video_url", "input_file", "file", "document",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """`document` is the body's JSON object, `base_models` the base model of each name, `vectors` the embeddings
    of texts that plugins compare with, as far as they are known yet.
    """

    headers: Mapping[str, str]
    body: bytes
    document: Mapping[str, object]
    base_models: Mapping[str, str] = field(default_factory=lambda: NO_NAMES)
    vectors: Mapping[str, Sequence[float]] = field(default_factory=lambda: NO_VECTORS)

    def texts(self) -> Iterator[str]:
        """Every text that a model may read, tools' descriptions and results included."""
        for name, value in self.document.items():
            if name in _READ:
                yield from _texts(value)

    def features(self) -> "Features":
        """What rules look at."""
        system: list[str] = []
        others: list[str] = []
        last = ""
        for name in _INSTRUCTIONS:
            system.extend(_texts(self.document.get(name)))
        for role, content in self._turns():
            texts = [*_texts(content)]
            (system if role in _SYSTEM_ROLES else others).extend(texts)
            if role == "user":
                last = "\n".join(texts)
        tools = self.document.get("tools") or self.document.get("functions")
        return Features(last, tuple(system), tuple(others), bool(tools), _has_media(self.document))

    def _turns(self) -> Iterator[tuple[str, object]]:
        for name in ("messages", "input"):
            listed = self.document.get(name)
            if isinstance(listed, list):
                for turn in listed:
                    if isinstance(turn, Mapping):
                        yield str(turn.get("role", "user")), turn.get("content")
                    else:
                        yield "user", turn
            elif isinstance(listed, str):
                yield "user", listed
        if "prompt" in self.document:
            yield "user", self.document["prompt"]


class Features(NamedTuple):
    """`last` is the last turn of the user, all of it where there are no turns."""

    last: str
    system: tuple[str, ...]
    others: tuple[str, ...]
    has_tools: bool
    has_media: bool

    @property
    def characters(self) -> int:
        """Of all texts."""
        return sum(map(len, self.system)) + sum(map(len, self.others))


def _texts(value: object) -> Iterator[str]:
    """Strings at any depth, in their order, but for what holds media. No recursion: a body may be a thousand deep."""
    waiting: list[Iterator[object]] = [iter((value,))]
    while waiting:
        item = next(waiting[-1], _END)
        if item is _END:
            waiting.pop()
        elif isinstance(item, str):
            if item:
                yield item
        elif isinstance(item, list):
            waiting.append(iter(item))
        elif isinstance(item, Mapping):
            waiting.append(inner for name, inner in item.items() if not _is_opaque(item, name, inner))


def _is_opaque(holder: Mapping[str, object], name: str, value: object) -> bool:
    """Whether a field says nothing in words: its kind, a picture, a sound."""
    if name in _KINDS:
        return True
    if name not in _MEDIA_FIELDS or not isinstance(value, str):
        return False
    return value.startswith("data:") or holder.get("type") == "base64" or "format" in holder


def _has_media(document: Mapping[str, object]) -> bool:
    turns = [*_listed(document.get("messages")), *_listed(document.get("input"))]
    return any(
        isinstance(part, Mapping) and part.get("type") in _MEDIA
        for turn in turns
        if isinstance(turn, Mapping)
        for part in (turn, *_listed(turn.get("content")))
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
