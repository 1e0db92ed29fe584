"""Writes the parts of a message's content: text in place, media as hashes, in every API's shape. Pure."""

from collections.abc import Mapping, Sequence

from epp.prompts import media
from epp.prompts.invalid import Place, wrong_kind
from epp.prompts.writer import Writer

# Parts whose content is text under another name than `text`.
_TEXT_MEMBERS = {"refusal": "refusal", "thinking": "thinking", "reasoning_text": "text", "summary_text": "text"}


def write_content(to: Writer, content: object, place: Place, *, is_system: bool = False) -> None:
    """A message's content: a string, a list of parts, or none."""
    if isinstance(content, str):
        (to.system_text if is_system else to.text)(content)
    elif isinstance(content, list):
        write_parts(to, content, place, is_system=is_system)
    elif content is not None:
        raise wrong_kind(place, "a string or a list", content)


def write_parts(to: Writer, parts: Sequence[object], place: Place, *, is_system: bool = False) -> None:
    """Parts one after the other."""
    to.take(parts, place[0])
    write_text = to.system_text if is_system else to.text
    for index, part in enumerate(parts):
        if to.places is not None:
            to.mark((*place, index, "text") if isinstance(part, dict) and "text" in part else (*place, index))
        if isinstance(part, dict):
            if isinstance(text := part.get("text"), str):
                write_text(text)
            else:
                _write_other(to, part, (*place, index))
        elif isinstance(part, str):
            write_text(part)
        else:
            raise wrong_kind((*place, index), "an object", part)


def _write_other(to: Writer, part: Mapping[str, object], place: Place) -> None:
    kind = part.get("type")
    match kind:
        case "image_url" | "input_image":
            _write_picture(to, part, place)
        case "image":
            _write_source(to, part, place)
        case "input_audio" | "audio_url":
            _write_sound(to, part, place)
        case "document":
            _write_document(to, part, place)
        case "tool_result":
            write_content(to, _content(part), (*place, "content"))
        case "tool_use":
            to.call(part.get("name"), part.get("input"), part.get("id"), place)
        case str() if kind in _TEXT_MEMBERS and isinstance(text := part.get(_TEXT_MEMBERS[kind]), str):
            to.text(text)
        case "redacted_thinking":  # opaque: engines leave it out
            pass
        case str() if kind in ("video_url", "file", "input_file", "video", "audio", "image_embeds"):
            to.medium(media.hash_of([to.unknown(part, place).decode()]), media.UNREADABLE_TOKENS)
        case _:
            to.pieces.append(to.unknown(part, place))


def _content(part: Mapping[str, object]) -> object:
    """Content of a tool's result; odd values are kept, since engines show them as text."""
    content = part.get("content")
    return content if content is None or isinstance(content, str | list) else str(content)


def _url(value: object) -> str:
    """The address within `{"url": …}`, or the address itself."""
    found = value.get("url") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


def _write_picture(to: Writer, part: Mapping[str, object], place: Place) -> None:
    url = _url(part.get("image_url"))
    if not url:
        to.medium(media.hash_of([to.unknown(part, place).decode()]), media.UNREADABLE_TOKENS)
        return
    to.medium(media.hash_of([url]), media.picture_tokens(url, to.family))


def _write_source(to: Writer, part: Mapping[str, object], place: Place) -> None:
    """An Anthropic picture: the same as a data URL of the same bytes."""
    source = part.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if isinstance(source, dict) and isinstance(data, str):
        kind = source.get("media_type")
        pieces = ["data:", kind if isinstance(kind, str) else "image/jpeg", ";base64,", data]
        to.medium(media.hash_of(pieces), media.base64_picture_tokens(data, to.family))
    elif url := _url(source):
        to.medium(media.hash_of([url]), media.picture_tokens(url, to.family))
    else:
        to.medium(media.hash_of([to.unknown(part, place).decode()]), media.UNREADABLE_TOKENS)


def _write_sound(to: Writer, part: Mapping[str, object], place: Place) -> None:
    sound = part.get("input_audio")
    data = sound.get("data") if isinstance(sound, dict) else None
    if isinstance(data, str):
        to.medium(media.hash_of([data]), media.sound_tokens(data, to.family))
    elif url := _url(part.get("audio_url")):
        to.medium(media.hash_of([url]), media.linked_sound_tokens(to.family))
    else:
        to.medium(media.hash_of([to.unknown(part, place).decode()]), media.UNREADABLE_TOKENS)


def _write_document(to: Writer, part: Mapping[str, object], place: Place) -> None:
    """A document of text is text; another one is a medium of unknown size."""
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        content = source.get("data", source.get("content"))
        if isinstance(content, str | list):
            write_content(to, content, (*place, "source"))
            return
    to.medium(media.hash_of([to.unknown(part, place).decode()]), media.UNREADABLE_TOKENS)
