"""Whatever bytes arrive, the codec reads an event or says that it cannot."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from gateway import protos
from gateway.extproc.codec import Codec, UnknownMessageError
from gateway.extproc.protocol.messages import HeadersReceived

CODEC = Codec()
ProcessingRequest = protos.message_class(protos.load_pool(), "envoy.service.ext_proc.v3.ProcessingRequest")


@given(st.binary(max_size=200))
def test_noise_is_an_event_or_an_unknown_message(data: bytes) -> None:
    with contextlib.suppress(UnknownMessageError):
        assert CODEC.decode(data).direction is not None


@given(st.lists(st.tuples(st.sampled_from(["a", "b", ":path"]), st.binary(max_size=20)), max_size=8))
def test_no_byte_of_a_header_is_lost(headers: list[tuple[str, bytes]]) -> None:
    message = ProcessingRequest()
    message.request_headers.SetInParent()
    for key, value in headers:
        message.request_headers.headers.headers.add(key=key, raw_value=value)
    event = CODEC.decode(message.SerializeToString())
    assert isinstance(event, HeadersReceived)
    for key in dict(headers):
        assert event.headers[key].encode("latin-1") == b",".join(value for name, value in headers if name == key)
