"""What a body says its model is: through both doors every body is routed, or refused, alike."""

import asyncio
import json
import os
import re
from array import array
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controlplane.options import PickerTransport
from gateway.wire.protocol import MODEL_NAME
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST

JSON = {"content-type": "application/json"}
INVALID_MODEL = (400, "invalid_request", "model")
INVALID_BODY = (400, "invalid_request", None)
INVALID_JSON = (400, "invalid_json", None)
UNKNOWN = (404, "model_not_found", "model")
REFUSED = {
    b'{"model": 5}': INVALID_MODEL,
    b'{"model": 5.5e3, "prompt": "a"}': INVALID_MODEL,
    b'{"model": ["x"]}': INVALID_MODEL,
    b'{"model": {"model": "open"}}': INVALID_MODEL,
    b'{"model": true}': INVALID_MODEL,
    b'{"model": null}': INVALID_MODEL,
    b'{"model": ""}': INVALID_MODEL,
    b"{}": INVALID_MODEL,
    b'{"prompt": "the \\"model\\": \\"open\\""}': INVALID_MODEL,
    b'{"messages": [{"model": "open"}]}': INVALID_MODEL,
    b'{"model": "open", "model": 5}': INVALID_MODEL,
    b'{"model": "a\\u0000b"}': INVALID_MODEL,
    b'{"model": "a\\nb"}': INVALID_MODEL,
    '{"model": "a\u200bb"}'.encode(): INVALID_MODEL,
    b'{"model": "%b"}' % (b"m" * 1025): INVALID_MODEL,
    b'{"model": "%b"}' % (b"m" * 100_000): INVALID_MODEL,
    b'["model"]': INVALID_BODY,
    b'"model"': INVALID_BODY,
    b"5": INVALID_BODY,
    b"null": INVALID_BODY,
    b"{": INVALID_JSON,
    b'{"model": "open"': INVALID_JSON,
    b'{"model": "nope"': INVALID_JSON,
    b'{"model": "nope",}': INVALID_JSON,
    b'{"model": "nope"} {}': INVALID_JSON,
    b'{"model": "n\xffpe"}': INVALID_JSON,
    b'{"model": "n\\ud800pe"}': INVALID_JSON,
    b'{"model": "n\\xpe"}': INVALID_JSON,
    b'\xef\xbb\xbf{"model": "open"}': INVALID_JSON,
    b'{"model": "nope", "tools": %b%b}' % (b"[" * 2000, b"]" * 2000): INVALID_JSON,
    b'{"model": "nope"}': UNKNOWN,
    b'{"model": "open", "model": "nope"}': UNKNOWN,
    b'{"model": " open"}': UNKNOWN,
}
OPEN = (
    b'{"model": "open"}',
    b' \r\n\t{ "prompt" : "}{][" , "model"\n:\t"open" }\n',
    b'{"model": "nope", "model": "open"}',
    b'{"model": 5, "model": "open"}',
    b'{"model": "open", "tools": [{"model": "nope"}], "user": "model"}',
    b'{"user": "model", "model": "open", "prompt": "\\\\"}',
    b'{"a\\"model": "nope", "model": "open", "\\"": "\\\\\\", \\"model\\": \\"nope\\""}',
    b'{"m\\u006fdel": "op\\u0065n"}',
    b'{"prompt": [%b1], "model": "open"}' % (b"1," * 1_000_000),
)


async def test_a_body_without_a_good_model_is_refused_alike_and_asks_nobody(bed: Bed) -> None:
    bed.pick(bed.one)
    found = {}
    for body in REFUSED:
        answer = await bed.ask(body=body, headers=JSON)
        found[body[:80]] = (answer.status, answer.error["code"], answer.error["param"])

    assert found == {body[:80]: wanted for body, wanted in REFUSED.items()}
    assert bed.one.requests == []


async def test_a_body_with_a_model_is_routed_by_it_however_it_is_written(bed: Bed) -> None:
    bed.pick(bed.one)
    for body in OPEN:
        assert (await bed.ask(body=body, headers=JSON)).status == 200, body[:80]

    assert bed.orders.pools == ["default/open"] * len(OPEN)


SPACED = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /v1}, headers: [{name: X-Gateway-Model-Name, value: open}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
  - matches: [{path: {value: /v1}, headers: [{name: X-Gateway-Model-Name, type: RegularExpression, value: " *open *"}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: closed}]
"""


async def test_a_name_with_spaces_around_it_stays_with_the_pool_whose_picker_was_asked(make_bed: MakeBed) -> None:
    async with make_bed(route=SPACED) as bed:
        bed.pick(bed.one)
        for model in ("open ", " open"):
            assert (await bed.ask(model)).status == 200

        served = await bed.gateway.stats("^cluster.pool_default_(open|closed).upstream_rq_total$")

    assert bed.orders.pools == ["default/closed"] * 2
    assert served == {
        "cluster.pool_default_open.upstream_rq_total": 0,
        "cluster.pool_default_closed.upstream_rq_total": 2,
    }


MEGABYTE = 1_000_000
# What a body repeats, between a start and an end.
SHAPES: dict[bytes, tuple[bytes, bytes]] = {
    b"[": (b'{"model": "nope", "a": ', b""),
    b'"': (b'{"model": "nope", ', b""),
    b"[],": (b'{"model": "nope", "a": [', b"1]}"),
    b'[]{}"",': (b'{"model": "nope", "a": [', b"1]}"),
    b"\\": (b'{"model": "', b""),
    b'\\"': (b'{"model": "nope", "a": "', b'"}'),
    b" ": (b'{"model" ', b': "nope"}'),
    b'"\\u006dodel":1,': (b"{", b'"model": "nope"}'),
    b'"model":"a",': (b"{", b'"model": "nope"}'),
    b'"model":"%b",' % (b"\\n" * 6000): (b"{", b'"model": "nope"}'),
    b'"model":"%b",' % (b"m" * 13_000): (b"{", b'"model": "nope"}'),
}


@pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"])
async def test_no_shape_of_a_body_keeps_envoy_busy(bed: Bed) -> None:
    busy = {}
    for unit, (start, end) in SHAPES.items():
        before = _processor_seconds(bed)
        answer = await bed.ask(body=start + unit * (8 * MEGABYTE // len(unit)) + end, headers=JSON)
        busy[unit[:20]] = _processor_seconds(bed) - before
        assert answer.status in (400, 404, 413), unit[:20]

    assert {unit: spent for unit, spent in busy.items() if spent > 0.5} == {}


def _processor_seconds(bed: Bed) -> float:
    assert bed.gateway.process is not None
    fields = Path(f"/proc/{bed.gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_request_for_a_tunnel_is_refused_before_it_ends(bed: Bed) -> None:
    """It has no end, so nobody may wait for its body."""
    reader, writer = await asyncio.open_connection(HOST, bed.gateway.port)
    writer.write(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n")
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert head.startswith(b"HTTP/1.1 404 ")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["model", "open", '"', "\\", '{"']
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spelled(draw: st.DrawFn, value: object) -> bytes:
    """A value as one of the texts that mean it."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw(st.booleans())).encode()
    written = (draw(st.sampled_from((json.dumps(each)[1:-1], escaped(each)))) for each in value)
    return b'"%b"' % "".join(written).encode()


def escaped(text: str) -> str:
    """Each character by its number."""
    return "".join(f"\\u{unit:04x}" for unit in array("H", text.encode("utf-16-le")))


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Objects in which a key may stand twice."""
    keys = draw(st.lists(st.just("model") | TEXTS, max_size=4))
    space = draw(st.sampled_from((b"", b" ", b"\r\n\t")))
    fields = (draw(spelled(key)) + space + b":" + space + draw(spelled(draw(VALUES))) for key in keys)
    return space + b"{" + space + (space + b"," + space).join(fields) + space + b"}" + space


ANY_MODEL = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches:
    - {path: {value: /v1}, headers: [{name: X-Gateway-Model-Name, type: RegularExpression, value: "(?s).*"}]}
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
"""


@pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"])
def test_envoy_reads_the_model_that_a_parser_reads(make_bed: MakeBed) -> None:
    with asyncio.Runner() as runner, ExitStack() as stack:
        making = make_bed(route=ANY_MODEL)
        bed = runner.run(_entered(making))
        stack.callback(lambda: runner.run(_left(making)))

        @settings(max_examples=300, deadline=None)
        @given(documents())
        @example(b'{"model":"a"')
        @example(b'{"model":"\\ud83d"}')
        @example(b'{"model":"%b"}' % (b"\\ud83d\\ude00" * 1024))
        @example(b'{"\\u006D\\u006f\\u0064\\u0065\\u006C":"a"}')
        @example(b'{"model\\u0000":"a"}')
        def check(body: bytes) -> None:
            bed.orders.headers.clear()
            runner.run(_post(bed, body))
            lifted = [headers.get(MODEL_NAME, "") for headers in bed.orders.headers]
            assert lifted == [name.strip(" ") for name in _names(body)]

        check()


def _names(body: bytes) -> list[str]:
    """The name that a parser finds, unless a header could not hold it."""
    try:
        model = orjson.loads(body).get("model")
    except orjson.JSONDecodeError:
        return []
    return [model] if isinstance(model, str) and model and not re.search(r"[\x00-\x1f\x7f]", model) else []


async def _entered(making: AbstractAsyncContextManager[Bed]) -> Bed:
    return await making.__aenter__()


async def _left(making: AbstractAsyncContextManager[Bed]) -> None:
    await making.__aexit__(None, None, None)


async def _post(bed: Bed, body: bytes) -> None:
    await bed.ask(body=body, headers=JSON)


async def test_the_server_finds_the_model_under_both_names(bed: Bed) -> None:
    bed.pick(bed.one)

    seen = (await bed.ask("open")).json["headers"]

    assert isinstance(seen, dict)
    assert (seen["x-gateway-model-name"], seen["x-gateway-inference-model"]) == ("open", "open")


def form(*parts: tuple[str, bytes]) -> bytes:
    written = [b"--xyz\r\ncontent-disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), value)
               for head, value in parts]  # fmt: skip
    return b"".join(written) + b"--xyz--\r\n"


FILE = ('name="file"; filename="a.wav"', b'RIFF\r\n\r\n--xy\r\nname="model"\r\n\r\nnope' + b"\x00" * 100_000)


async def test_a_form_is_routed_by_its_model(bed: Bed) -> None:
    bed.pick(bed.one)
    headers = {"content-type": 'multipart/form-data; charset=utf-8; boundary="xyz"'}
    for body in (
        form(FILE, ('name="model"', b"open")),
        form(("NAME=model", b"open"), FILE),
        b"preamble\r\n" + form(('name="model"', b"nope"), ('name="model"', b"open")),
    ):
        answer = await bed.ask(path="/v1/audio/transcriptions", headers=headers, body=body)
        assert (answer.status, answer.json["size"]) == (200, len(body))
    for body in (form(FILE), form(('name="model"', b"")), form(('name="model"; filename="x"', b"open")), b"--xyz", b""):
        answer = await bed.ask(path="/v1/audio/transcriptions", headers=headers, body=body)
        assert answer.status in (400, 404)
