"""Bodies that are not plain JSON, and errors in the shape of the request's API, over ext_proc."""

import gzip
from random import Random

import orjson
import pytest

from epp.config import default_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, RewriteRule, RewriteTarget
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    Direction,
    HeadersReceived,
    ImmediateReply,
    Modes,
    Reply,
)

POOL, TARGET = PoolId("default/a"), EndpointId("10.0.0.1:8000")
FORM = "multipart/form-data; boundary=xyz"
RULES = (RewriteRule(frozenset({"alias"}), (RewriteTarget("real", 1),), "canary"),)


def audio(model: str) -> bytes:
    return (
        b'--xyz\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
        b'--xyz\r\ncontent-disposition: form-data; name="model"\r\n\r\n' + model.encode() + b"\r\n--xyz--\r\n"
    )


def answer(path: str, content_type: str, body: bytes, **more: str) -> Reply:
    picker = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver(), journal=None)
    picker.replace_pools({POOL: PoolSpec(POOL, (Endpoint(TARGET, "10.0.0.1", 8000, "pod"),), rewrites=RULES)}, 0.0)
    picker.scraped(POOL, TARGET, EngineMetrics(0, 0, 0.0), 0.5)
    modes = Modes(BodyMode.BUFFERED, BodyMode.NONE)
    talk = PickConversation(Route(POOL), picker, OpenStreams(picker, lambda: True), lambda _replies: None, modes)
    headers = {":method": "POST", ":path": path, "content-type": content_type, "x-request-id": "req-7", **more}
    talk.receive(HeadersReceived(Direction.REQUEST, headers, end_of_stream=False), 1.0)
    (reply,) = talk.receive(BodyReceived(Direction.REQUEST, body, end_of_stream=True), 1.0)
    return reply


def picked(reply: Reply) -> BodyReply:
    assert isinstance(reply, BodyReply), reply
    assert dict(reply.mutation.set_headers)["x-gateway-destination-endpoint"] == TARGET
    return reply


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/images/edits"])
def test_a_form_is_picked_for_and_goes_on_as_it_is(path: str) -> None:
    assert picked(answer(path, FORM, audio("whisper"))).body is None


def test_a_model_in_a_form_is_rewritten_there() -> None:
    assert picked(answer("/v1/audio/transcriptions", FORM, audio("alias"))).body == audio("real")


def test_a_compressed_body_is_read_and_goes_on_as_it_is() -> None:
    body = gzip.compress(b'{"model": "m", "prompt": "hello"}')
    reply = picked(answer("/v1/completions", "application/json", body, **{"content-encoding": "gzip"}))
    assert reply.body is None
    assert "content-encoding" not in reply.mutation.remove_headers


def test_a_compressed_body_whose_model_changes_goes_on_plain() -> None:
    body = gzip.compress(b'{"model": "alias", "prompt": "hello"}')
    reply = picked(answer("/v1/completions", "application/json", body, **{"content-encoding": "gzip"}))
    assert reply.body == b'{"model": "real", "prompt": "hello"}'
    assert "content-encoding" in reply.mutation.remove_headers
    assert dict(reply.mutation.set_headers)["content-length"] == str(len(reply.body))


def test_an_encoding_that_is_not_read_is_named() -> None:
    reply = answer("/v1/completions", "application/json", b"\x1b\x00", **{"content-encoding": "br"})
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 415
    assert "content-encoding 'br'" in orjson.loads(reply.body)["error"]["message"]


def test_errors_of_the_messages_api_have_anthropics_shape() -> None:
    reply = answer("/v1/messages?beta=true", "application/json", b'{"model": 7}')
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 400
    found = orjson.loads(reply.body)
    assert (found["type"], found["request_id"]) == ("error", "req-7")
    assert found["error"]["type"] == "invalid_request_error"
    assert "'model' must be a string" in found["error"]["message"]
    assert ("request-id", "req-7") in reply.headers


def test_errors_of_other_apis_keep_openais_shape() -> None:
    reply = answer("/v1/chat/completions", "application/json", b'{"model": 7}')
    assert isinstance(reply, ImmediateReply)
    assert orjson.loads(reply.body)["error"]["param"] == "model"
    assert dict(reply.headers) == {"content-type": "application/json"}
