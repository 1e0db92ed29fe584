"""The fields of forms, as clients for audio and images write them."""

import pytest
from aiohttp import FormData
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.forms import ModelWatch, form_fields, is_form, with_model

TYPE = "multipart/form-data; boundary=xyz"


def form(*parts: tuple[str, bytes]) -> bytes:
    written = b"".join(
        b'--xyz\r\ncontent-disposition: form-data; %s\r\n\r\n%s\r\n' % (head.encode(), value) for head, value in parts
    )  # fmt: skip
    return written + b"--xyz--\r\n"


AUDIO = ('name="file"; filename="a.wav"', b'RIFF\r\n\r\n--xy\r\nname="model"\r\n\r\nforged')


def test_texts_are_read_and_files_are_not() -> None:
    body = form(AUDIO, ('name="model"', b"whisper-1"), ("name=language", b"de"))
    assert form_fields(TYPE, body) == {"model": "whisper-1", "language": "de"}


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=xyz", 'Multipart/Form-Data;boundary="xyz"; charset=utf-8'],
)
def test_the_boundary_may_be_quoted(content_type: str) -> None:
    assert is_form(content_type)
    assert form_fields(content_type, form(('name="model"', b"m"))) == {"model": "m"}


def test_a_form_of_a_common_client_is_read() -> None:
    data = FormData(default_to_multipart=True)
    data.add_field("file", b"\x00" * 5000, filename="a.mp3", content_type="audio/mpeg")
    data.add_field("model", "whisper-1")
    data.add_field("prompt", "Grüße")
    payload = data()
    body = b"".join(_rendered(payload))
    assert form_fields(payload.headers["content-type"], body) == {"model": "whisper-1", "prompt": "Grüße"}


def _rendered(payload) -> list[bytes]:
    boundary = payload.boundary.encode()
    parts = []
    for part, *_ in payload:
        parts.append(
            b"--" + boundary + b"\r\n" + part._binary_headers + part._value.encode()
            if isinstance(part._value, str)
            else b"--" + boundary + b"\r\n" + part._binary_headers + part._value
        )
        parts.append(b"\r\n")
    return [*parts, b"--" + boundary + b"--\r\n"]


@pytest.mark.parametrize(
    "body",
    [b"", b"nothing", b"--xyz", b"--xyz\r\n", b"--xyz--", form(('name="model"', b"m"))[:-12],
     b'--xyz\r\ncontent-disposition: form-data; name="model"\r\n', b"--xyz\r\n\r\nm\r\n--xyz--"],
)  # fmt: skip
def test_what_is_no_form_has_no_fields(body: bytes) -> None:
    assert form_fields(TYPE, body) == {}
    assert form_fields("multipart/form-data", form(('name="model"', b"m"))) == {}


def test_a_preamble_is_stepped_over() -> None:
    assert form_fields(TYPE, b"to be ignored\r\n" + form(('name="model"', b"m"))) == {"model": "m"}


def test_the_model_is_replaced_and_nothing_else() -> None:
    body = form(AUDIO, ('name="model"', b"alias"), ('name="prompt"', b"model"))
    assert with_model(TYPE, body, "whisper-large") == body.replace(b"alias", b"whisper-large")
    assert with_model(TYPE, b"no form", "m") == b"no form"


@given(st.binary(max_size=400))
def test_any_bytes_have_fields_or_none(body: bytes) -> None:
    found = form_fields(TYPE, b'--xyz\r\ncontent-disposition: form-data; name="a"\r\n\r\n' + body)
    assert all(isinstance(value, str) for value in found.values())


@given(st.dictionaries(st.text("abc", min_size=1), st.text("abc\n -:"), max_size=5), st.binary(max_size=200))
def test_what_was_written_is_read(fields: dict[str, str], file: bytes) -> None:
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    if b"\r\n--xyz" in file:
        return
    assert form_fields(TYPE, form(('name="f"; filename="f"', file), *parts)) == fields


FORM = form(AUDIO, ("name=language", b"de"), ('name="model"', b"whisper-1"), ('name="prompt"', b"x" * 500))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_the_model_is_seen_as_soon_as_its_part_ends_however_the_form_is_cut(sizes: list[int]) -> None:
    watch, at = ModelWatch(TYPE), 0
    for size in sizes * 30:
        is_there = watch.receive(FORM[at : at + size])
        at += size
        assert is_there == ("model" in form_fields(TYPE, FORM[:at]))
        if is_there:
            return
    assert at < len(FORM)


def test_a_file_is_not_kept() -> None:
    watch = ModelWatch(TYPE)
    watch.receive(b'--xyz\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n')
    for _ in range(100):
        assert not watch.receive(b"\x00" * 65536)
        assert len(watch._rest) < 100

    assert watch.receive(b'\r\n--xyz\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--xyz--')


@pytest.mark.parametrize("content_type", ["multipart/form-data", "application/json"])
def test_without_a_boundary_nothing_is_found(content_type: str) -> None:
    assert not ModelWatch(content_type).receive(FORM)


@given(st.binary(max_size=400), st.integers(1, 7))
def test_noise_has_no_model_and_no_end(noise: bytes, size: int) -> None:
    watch = ModelWatch(TYPE)
    for at in range(0, len(noise), size):
        watch.receive(noise[at : at + size])
        assert len(watch._rest) <= len(noise) + 2
