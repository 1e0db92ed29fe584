"""However a byte stream is cut, the answers are the same; and nothing stays reserved by accident."""

from hypothesis import example, given
from hypothesis import strategies as st

from epp.domain import EndpointId, Pick, PickId, PoolId, Request
from epp.transports.http.exchange import HttpExchange
from epp.transports.http.limits import Limits

LIMITS = Limits(head_bytes=256, body_bytes=64)

METHODS = st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "CONNECT", "PRI", "get"])
TARGETS = st.sampled_from(["/v1/completions", "http://epp/v1/models", "*", "/ä", "no target", "/" + "a" * 200])
VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""])
LINES = st.sampled_from([
    "Host: epp", "Host: epp", "Content-Length: 5", "content-length: 0", "Content-Length: 65", "Content-Length: -1",
    "Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close", "X-A: b", " folded", "x :y", "X-A",
    "x-gateway-inference-pool: a/b", "x-gateway-picker-health: 1", "x-a: " + "a" * 120, "Upgrade: h2c", "x: \0",
])  # fmt: skip
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something like a request, often enough a valid one."""
    if draw(st.booleans()):
        body = draw(st.binary(max_size=64))
        return b"POST /v1/completions HTTP/1.1\r\nhost: epp\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    end = draw(ENDS)
    start = f"{draw(METHODS)} {draw(TARGETS)} {draw(VERSIONS)}".rstrip()
    lines = draw(st.lists(LINES, max_size=4))
    return end.join((start, *lines, "", "")).encode("latin-1") + draw(st.binary(max_size=8))


STREAMS = st.lists(requests() | st.binary(max_size=40), min_size=1, max_size=4).map(b"".join)


class Picker:
    """Picks everything with a body, one reservation each."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def pick(self, request: Request) -> Pick:
        self.requests.append(request)
        return Pick(PickId(f"epp-{len(self.requests)}"), PoolId("a/b"), (EndpointId("10.0.0.1:8000"),))


def converse(parts: list[bytes]) -> tuple[bytes, list[Request], bool]:
    """What comes back, which requests came, and whether the connection is over."""
    machine, picker, output = HttpExchange(LIMITS, dict, 0.0), Picker(), b""
    for part in parts:
        machine.receive(part, 0.0)
        while (step := machine.advance()) is not None:
            if isinstance(step, Request):
                machine.answer(picker.pick(step))
            else:
                machine.answer_health(is_ready=True)
        output += machine.take_output()
        assert not machine.is_waiting
    return output, picker.requests, machine.is_finished


@given(STREAMS, st.data())
@example(b"GET / HTTP/1.1\r\nhost: epp\r\n\r\n" * 3, None)
@example(b"\r\nGET / HTTP/1.1\r\nhost: epp\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: epp\r\n\r\n", None)
def test_a_cut_changes_nothing(stream: bytes, data: st.DataObject | None) -> None:
    whole = converse([stream])
    if data is None:
        parts = [stream[at : at + 1] for at in range(len(stream))]
    else:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
        parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert converse(parts) == whole


@given(STREAMS)
def test_every_question_has_one_answer_and_every_pick_leaves(stream: bytes) -> None:
    output, submitted, is_finished = converse([stream])
    finals = output.count(b"HTTP/1.1 ") - output.count(b"HTTP/1.1 100 ")
    picks = [f"x-pointsman-pick-id: epp-{number + 1:d}\r\n".encode() for number in range(len(submitted))]
    assert all(output.count(line) == 1 for line in picks)
    assert [output.index(line) for line in picks] == sorted(output.index(line) for line in picks)
    assert finals >= len(submitted)
    assert output.count(b"HTTP/1.1 4") + output.count(b"HTTP/1.1 505") <= 1, "the first refusal is the last word"
    if b"connection: close" in output:
        assert is_finished


@given(st.binary(max_size=2000))
def test_noise_is_contained(noise: bytes) -> None:
    machine = HttpExchange(LIMITS, dict, 0.0)
    machine.receive(noise, 0.0)
    while isinstance(step := machine.advance(), Request):
        machine.answer(Pick(PickId("epp-1"), PoolId("a/b"), (EndpointId("10.0.0.1:8000"),)))
    assert step is None or machine.is_waiting
    if len(noise) >= LIMITS.head_bytes and b"\r\n\r\n" not in noise:
        assert machine.is_finished
