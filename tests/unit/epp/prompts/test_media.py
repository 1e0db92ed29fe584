"""Pictures and sound count by their size, match by their hash, and nothing hostile in them costs more."""

import struct
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.prompts.families import family_of
from epp.prompts.media import UNREADABLE_TOKENS, picture_size, picture_tokens, sound_tokens
from tests.unit.epp.prompts.reading import read

COMMON = family_of("m")


def png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"IDAT" * 20


def jpeg(width: int, height: int, exif: int = 60_000) -> bytes:
    metadata = b"\xff\xe1" + struct.pack(">H", exif + 2) + b"e" * exif
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\0" * 9
    return b"\xff\xd8" + metadata * 2 + frame + b"\0" * 50


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 50


def webp(kind: bytes, size: bytes) -> bytes:
    return b"RIFF" + b"\0" * 4 + b"WEBP" + kind + b"\0" * 4 + size + b"\0" * 40


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\0" * 3 + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


@pytest.mark.parametrize("make", [png, jpeg, gif, lossy, lossless, extended])
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (1920, 1080)])
def test_sizes_are_read_from_every_format(make: object, size: tuple[int, int]) -> None:
    assert callable(make)
    assert picture_size(b64encode(make(*size)).decode(), 0) == size


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("Qwen/Qwen2.5-VL-7B", (1024, 1024), 37 * 37),
        ("Qwen/Qwen3-VL-8B", (1024, 1024), 32 * 32),
        ("google/gemma-3-27b", (1024, 1024), 256),
        ("meta-llama/Llama-4-Scout", (672, 336), 3 * 144),
        ("mistralai/Pixtral-12B", (3080, 1540), 55 * 28),
        ("OpenGVLab/InternVL3-8B", (448, 448), 2 * 256),
        ("unknown", (9999, 9999), 4096),
    ],
)
def test_tokens_follow_the_size_and_the_family(model: str, size: tuple[int, int], tokens: int) -> None:
    assert picture_tokens(data_url(png(*size)), family_of(model)) == tokens


@pytest.mark.parametrize(
    "broken",
    [b"", b"x", b"\x89PNG\r\n\x1a\n", png(0, 5), png(2**31 - 1, 4), b"\xff\xd8\xff" + b"\xff" * 40, b"no" * 99],
)
def test_a_picture_that_is_none_costs_next_to_nothing(broken: bytes) -> None:
    assert picture_tokens(data_url(broken), COMMON) == UNREADABLE_TOKENS


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBPVP8X"]),
)
def test_any_bytes_are_some_picture_or_none(data: bytes, start: bytes) -> None:
    assert 1 <= picture_tokens(data_url(start + data), COMMON) <= 4096


@given(st.text(max_size=80))
def test_any_text_is_no_address_that_fails(text: str) -> None:
    assert picture_tokens("data:" + text, COMMON) >= 1
    assert sound_tokens(text, COMMON) >= 1


def test_sound_counts_by_its_length() -> None:
    rate = 32_000
    wave = (
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, rate, 2, 16) + b"data" + b"\0" * rate * 10
    )
    assert sound_tokens(b64encode(wave).decode(), COMMON) == pytest.approx(250, abs=2)
    assert sound_tokens(b64encode(b"ID3\x03" + b"\0" * 160_000).decode(), COMMON) == pytest.approx(250, abs=2)


def pictures(*urls: str) -> object:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "what is it?"}]}]}


def test_a_picture_counts_in_prompt_and_load() -> None:
    found = read("chat", pictures(data_url(png(1024, 1024))))  # type: ignore[arg-type]
    assert found.media_tokens == 37 * 37
    assert found.prompt_tokens >= found.media_tokens
    assert found.has_media


def test_pictures_sent_again_match_and_others_do_not() -> None:
    one, two = data_url(png(640, 480)), data_url(png(640, 481))
    first = read("chat", pictures(one)).canonical  # type: ignore[arg-type]
    again = read("chat", pictures(one, two)).canonical  # type: ignore[arg-type]
    assert again[:1500] == first[:1500]
    assert read("chat", pictures(two)).canonical[:100] != first[:100]  # type: ignore[arg-type]


def test_the_same_picture_is_the_same_in_every_api() -> None:
    data = png(64, 64)
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(data).decode()}
    chat = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(data)}}]}]}
    messages = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    responses = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(data)}]}]}
    found = {read("chat", chat).canonical, read("messages", messages).canonical, read("responses", responses).canonical}
    assert len(found) == 1


def test_claims_of_huge_pictures_are_bounded() -> None:
    urls = [data_url(png(60_000, 60_000 - number)) for number in range(600)]
    found = read("chat", {"model": "Qwen/Qwen3-VL-8B", **pictures(*urls)})  # type: ignore[dict-item]
    assert found.prompt_tokens < 1_100_000
