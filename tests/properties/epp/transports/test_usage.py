"""Usage is found at the end of any answer, and noise gives none."""

import time

import orjson
from hypothesis import given
from hypothesis import strategies as st

from epp.domain import EndpointId, Pick, PickId, PoolId
from epp.transports.extproc.response import TAIL_BYTES, ResponseWatch, usage
from gateway.extproc.protocol.messages import BodyReceived, Direction

counts = st.integers(0, 10**6)
PICK = Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),))


@given(counts, counts, st.none() | counts, st.text(max_size=20), st.integers(0, 500))
def test_usage_in_json_and_in_an_event_stream_is_found_however_the_answer_was_cut(
    prompt: int, completion: int, cached: int | None, text: str, cut: int
) -> None:
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    answer = {"text": text, "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **details}, "id": "x"}
    for body in (orjson.dumps(answer), b"data: " + orjson.dumps(answer) + b"\n\ndata: [DONE]\n\n"):
        watch = ResponseWatch()
        for piece in (b"x" * TAIL_BYTES, body[: cut % len(body)], body[cut % len(body) :]):
            watch.receive(BodyReceived(Direction.RESPONSE, piece, end_of_stream=False), 1.0)
        found = watch.feedback(PICK, 0.0, 2.0)
        assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (prompt, completion, cached)


@given(st.binary(max_size=300))
def test_noise_has_no_usage_and_does_no_harm(noise: bytes) -> None:
    assert usage(noise + b'"usage"') == (None, None, None)
    assert usage(b'"usage":' + noise + b'"usage": {') is not None


@given(
    st.sampled_from(
        [b'{"usage":null}', b'{"usage":[1]}', b'{"usage":{"prompt_tokens":-1,"completion_tokens":true}}', b""]
    )
)
def test_odd_usage_counts_as_none(body: bytes) -> None:
    assert usage(body) == (None, None, None)


def test_an_answer_full_of_usages_is_not_searched_for_long() -> None:
    begun = time.process_time()
    assert usage(b'"usage":{' * (TAIL_BYTES // 9)) == (None, None, None)
    assert time.process_time() - begun < 0.1
