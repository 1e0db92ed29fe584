"""What a head means, and which heads are refused."""

import pytest

from epp.transports.http.head import Head, read_head
from gateway.wire.errors import Rejection

LIMIT = 1000


def head(*lines: str, start: str = "POST /v1/completions HTTP/1.1", host: str = "epp") -> bytes:
    hosts = (f"Host: {host}",) if host else ()
    return "\r\n".join((start, *hosts, *lines, "", "")).encode("latin-1")


def accepted(data: bytes) -> Head:
    result = read_head(data, LIMIT)
    assert isinstance(result, Head), result
    return result


def refused(data: bytes) -> int:
    result = read_head(data, LIMIT)
    assert isinstance(result, Rejection), result
    assert result.message
    return result.status


def test_a_plain_question_is_understood() -> None:
    read = accepted(head("Content-Length: 12", "Content-Type: application/json", "X-Request-Id: r-1"))
    assert (read.method, read.path, read.length) == ("POST", "/v1/completions", 12)
    assert read.headers == {"content-type": "application/json", "x-request-id": "r-1"}
    assert read.is_kept_alive
    assert read.pool is None


def test_the_pool_and_the_fallbacks_come_in_headers_that_the_brain_does_not_see() -> None:
    read = accepted(head("x-gateway-inference-pool: default/qwen", "x-gateway-fallback-endpoints: 2"))
    assert (read.pool, read.fallbacks) == ("default/qwen", 2)
    assert read.headers == {}


@pytest.mark.parametrize("value", ["-1", "two", "", "²", "1.5"])
def test_fallbacks_that_are_no_number_count_as_none(value: str) -> None:
    assert accepted(head(f"x-gateway-fallback-endpoints: {value}")).fallbacks == 0


def test_a_client_cannot_say_where_to_go() -> None:
    read = accepted(
        head(
            "x-gateway-destination-endpoint: 10.0.0.1:1",
            "x-gateway-destination-endpoint-subset: 10.0.0.1:1",
            "x-gateway-destination-endpoint-served: 10.0.0.1:1",
        )
    )
    assert read.headers == {}


def test_a_clients_key_is_kept_for_a_list_of_models_alone() -> None:
    key = "Authorization: Bearer secret"

    assert accepted(head(key, start="GET /v1/models HTTP/1.1")).headers == {"authorization": "Bearer secret"}
    assert accepted(head(key)).headers == {}


def test_headers_that_nobody_reads_are_not_kept() -> None:
    lines = ("User-Agent: x", "Accept: */*", "x-envoy-internal: true", "Authorization: Bearer secret")
    assert accepted(head(*lines)).headers == {}


def test_a_repeated_header_is_joined_with_a_comma() -> None:
    assert accepted(head("x-a: 1", "X-A: 2")).headers == {"x-a": "1,2"}


def test_marks_of_the_control_plane_are_recognised() -> None:
    read = accepted(head("x-gateway-model-headers: 1", "x-gateway-picker-health: 1"))
    assert read.wants_model_headers
    assert read.is_health_check
    assert read.headers == {}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/models?x=http://y/z", "/v1/models?x=http://y/z"),
        ("http://gateway:80/v1/models?x=1", "/v1/models?x=1"),
        ("http://gateway", "/"),
        ("*", "*"),
    ],
)
def test_an_absolute_url_loses_scheme_and_authority(target: str, path: str) -> None:
    assert accepted(head(start=f"OPTIONS {target} HTTP/1.1")).path == path


def test_http_1_0_gets_one_answer_and_no_interim_one() -> None:
    lines = ("Connection: keep-alive", "Expect: 100-continue", "Content-Length: 3")
    read = accepted(head(*lines, start="POST / HTTP/1.0", host=""))
    assert not read.is_kept_alive
    assert not read.expects_continue


def test_connection_close_is_honoured() -> None:
    assert not accepted(head("Connection: close")).is_kept_alive


def test_an_expectation_without_a_body_asks_for_nothing() -> None:
    assert accepted(head("Expect: 100-Continue", "Content-Length: 3")).expects_continue
    assert not accepted(head("Expect: 100-continue", "Content-Length: 0")).expects_continue


SMUGGLING = {
    "both lengths": ("Content-Length: 3", "Transfer-Encoding: chunked"),
    "both lengths, the other way round": ("Transfer-Encoding: chunked", "Content-Length: 3"),
    "two lengths": ("Content-Length: 3", "Content-Length: 4"),
    "the same length twice": ("Content-Length: 3", "Content-Length: 3"),
    "a list of lengths": ("Content-Length: 3, 3",),
    "a signed length": ("Content-Length: +3",),
    "a negative length": ("Content-Length: -3",),
    "a hexadecimal length": ("Content-Length: 0x3",),
    "an empty length": ("Content-Length:",),
    "a length beyond 64 bits": ("Content-Length: 99999999999999999999999",),
    "a length in other digits": ("Content-Length: \xb2",),
    "a folded line": ("X-A: b", " Content-Length: 3"),
    "a space before the colon": ("Content-Length : 3",),
    "a bare line feed": ("X-A: b\nContent-Length: 3",),
    "a bare carriage return": ("X-A: b\rContent-Length: 3",),
    "a zero byte": ("X-A: b\0",),
    "an unknown encoding": ("Transfer-Encoding: xchunked",),
    "chunked and then more": ("Transfer-Encoding: chunked, identity",),
    "no colon": ("X-A",),
    "no name": (": x",),
    "two hosts": ("Host: other",),
    "an upgrade": ("Connection: upgrade", "Upgrade: h2c"),
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING)
def test_a_smuggling_shape_is_refused(lines: tuple[str, ...]) -> None:
    assert refused(head(*lines)) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"CONNECT epp:80 HTTP/1.1\r\nHost: epp\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.7\r\nHost: epp\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: epp\r\n\r\n",
        b"GET a b HTTP/1.1\r\nHost: epp\r\n\r\n",
        b"FETCH / HTTP/1.1\r\nHost: epp\r\n\r\n",
        b"GET / HTTP/1.1\nHost: epp\n\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    assert refused(data) == 400


def test_a_body_without_a_length_is_refused() -> None:
    assert refused(head("Transfer-Encoding: chunked")) == 411


def test_a_body_that_is_too_large_is_refused_before_it_comes() -> None:
    assert accepted(head(f"Content-Length: {LIMIT}")).length == LIMIT
    assert refused(head(f"Content-Length: {LIMIT + 1}")) == 413


def test_another_expectation_and_another_version_are_refused() -> None:
    assert refused(head("Expect: a-miracle")) == 417
    assert refused(head(start="GET / HTTP/2.0")) == 505
    assert refused(head(start="GET /", host="")) == 505
