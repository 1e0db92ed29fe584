"""Compressed bodies: read within a limit, or refused by the name of their encoding."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.encodings import decoded
from gateway.wire.errors import Rejection

BODY = b'{"model": "m", "prompt": "hello"}'


def raw_deflate(body: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(body) + machine.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("X-GZIP", gzip.compress(BODY, mtime=0)),
        ("gzip", gzip.compress(BODY[:5], mtime=0) + gzip.compress(BODY[5:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY), mtime=0)),
        ("identity", BODY),
        ("", BODY),
    ],
)
def test_what_clients_send_is_read(encoding: str, body: bytes) -> None:
    assert decoded({"content-encoding": encoding}, body) == BODY


def test_a_body_without_an_encoding_is_left_alone() -> None:
    assert decoded({}, BODY) is BODY
    assert decoded({"content-encoding": "gzip"}, b"") == b""


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "x" * 500])
def test_another_encoding_is_refused_by_its_name(encoding: str) -> None:
    refused = decoded({"content-encoding": encoding}, gzip.compress(BODY, mtime=0))
    assert isinstance(refused, Rejection)
    assert (refused.status, refused.param) == (415, "content-encoding")
    assert repr(encoding.split(", ")[-1][:30]) in refused.message


@pytest.mark.parametrize(
    "body", [b"not gzip", gzip.compress(BODY, mtime=0)[:-9], gzip.compress(BODY, mtime=0) + b"more"]
)
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes) -> None:
    refused = decoded({"content-encoding": "gzip"}, body)
    assert isinstance(refused, Rejection)
    assert refused.status == 400


def test_a_bomb_is_refused_before_it_is_whole() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 60_000
    refused = decoded({"content-encoding": "gzip"}, bomb, limit=1000)
    assert isinstance(refused, Rejection)
    assert refused.status == 413


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_the_limit_is_exact(body: bytes, limit: int) -> None:
    found = decoded({"content-encoding": "gzip"}, gzip.compress(body), limit)
    assert found == body if len(body) <= limit else isinstance(found, Rejection)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        assert isinstance(decoded({"content-encoding": encoding}, body), bytes | Rejection)
