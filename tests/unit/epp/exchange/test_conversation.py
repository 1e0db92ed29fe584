"""The Endpoint Picker Protocol over ext_proc, with a brain that says what the test wants."""

import orjson
import pytest

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId, Reply, Request, Verdict
from epp.transports.extproc.conversation import PickConversation, pool_of, subset_hint
from epp.transports.extproc.response import usage
from epp.transports.extproc.streams import GRACE_SECONDS, WAITING_LIMIT, OpenStreams
from gateway.extproc import messages
from gateway.extproc.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    Mutation,
)
from gateway.wire.errors import ErrorCode, Rejection

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
HEADERS = {":method": "POST", ":path": "/v1/completions", "content-type": "application/json"}
PICK = Pick(
    PickId("r-1"),
    PoolId("default/a"),
    (EndpointId("10.0.0.1:80"), EndpointId("[::1]:81")),
    (("x-prefiller-host-port", "p:1"),),
)


class Brain:
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.asked: list[Request] = []
        self.heard: list[object] = []

    def pick(self, request: Request, now: float) -> Verdict:
        self.asked.append(request)
        return self.verdict

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        self.heard.append((pick_id, outcome, now))

    def feedback(self, feedback: Feedback, now: float) -> None:
        self.heard.append(feedback)


def conversation(
    brain: Brain, mode: BodyMode = BodyMode.BUFFERED, response: BodyMode = BodyMode.NONE, *, logged: bool = False,
    streams: OpenStreams | None = None,
):  # fmt: skip
    streams = streams or OpenStreams(brain, lambda: logged)
    return PickConversation(PoolId("default/a"), brain, Modes(mode, response), streams)


def ask(verdict: Verdict, *, headers: dict[str, str] = HEADERS, metadata: Metadata | None = None, body: bytes = b"{}"):
    brain = Brain(verdict)
    talk = conversation(brain)
    talk.receive(HeadersReceived(REQUEST, headers, end_of_stream=False, metadata=metadata or {}), 1.0)
    return brain, talk, talk.receive(BodyReceived(REQUEST, body, end_of_stream=True), 2.0)


def test_a_pick_goes_into_header_and_metadata_with_one_value_and_its_id_beside() -> None:
    brain, talk, replies = ask(PICK)
    destination = "10.0.0.1:80,[::1]:81"
    assert replies == [
        BodyReply(
            REQUEST,
            Mutation(
                (("x-gateway-destination-endpoint", destination), ("x-prefiller-host-port", "p:1")),
                metadata={"envoy.lb": {"x-gateway-destination-endpoint": destination, "x-pointsman-pick-id": "r-1"}},
            ),
        )
    ]
    assert brain.asked == [Request(PoolId("default/a"), "POST", "/v1/completions", HEADERS, b"{}", None)]
    assert not talk.is_finished
    assert talk.is_at_rest


def test_a_request_without_a_body_is_picked_in_the_headers_reply() -> None:
    talk = conversation(Brain(PICK))
    (reply,) = talk.receive(HeadersReceived(REQUEST, {":method": "GET", ":path": "/"}, end_of_stream=True), 0.0)
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.metadata["envoy.lb"]["x-pointsman-pick-id"] == "r-1"


def test_control_headers_that_no_client_may_send_are_removed_and_harmless_ones_stay() -> None:
    sent = {
        **HEADERS, "x-gateway-destination-endpoint": "evil:1", "x-gateway-destination-endpoint-subset": "evil:1",
        "x-gateway-inference-pool": "other/pool", "x-gateway-inference-objective": "food", "x-gateway-model-name": "m",
        "x-gateway-inference-fairness-id": "me", "x-gateway-model-name-rewrite": "n",
    }  # fmt: skip
    _, _, (reply,) = ask(PICK, headers=sent)
    assert set(reply.mutation.remove_headers) == {"x-gateway-destination-endpoint-subset", "x-gateway-inference-pool"}
    assert dict(reply.mutation.set_headers)["x-gateway-destination-endpoint"] == "10.0.0.1:80,[::1]:81"


@pytest.mark.parametrize(
    "name",
    ["x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port", "x-kv-cache-source-host-port"],
)
def test_no_client_says_to_whom_a_model_server_turns(name: str) -> None:
    plain = Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),))
    _, _, (reply,) = ask(plain, headers={**HEADERS, name: "evil:1"})
    assert reply.mutation.remove_headers == (name,)


def test_where_a_prompt_is_computed_is_said_over_what_the_client_said() -> None:
    _, _, (reply,) = ask(PICK, headers={**HEADERS, "x-prefiller-host-port": "evil:1"})
    assert reply.mutation.remove_headers == ()
    assert dict(reply.mutation.set_headers)["x-prefiller-host-port"] == "p:1"


def test_a_rewritten_body_goes_on_with_its_length() -> None:
    _, _, (reply,) = ask(Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),), body=b"rewritten"))
    assert reply.body == b"rewritten"
    assert dict(reply.mutation.set_headers)["content-length"] == "9"


def test_a_rejection_is_an_openai_error_and_ends_the_conversation() -> None:
    rejection = Rejection(429, ErrorCode.POOL_SATURATED, "busy", retry_after=1.5)
    brain, talk, (reply,) = ask(rejection)
    assert isinstance(reply, ImmediateReply)
    assert (reply.status, reply.details) == (429, "pool_saturated")
    assert reply.headers == (("content-type", "application/json"), ("retry-after", "2"))
    assert orjson.loads(reply.body)["error"] == {
        "message": "busy",
        "type": "rate_limit_error",
        "param": None,
        "code": "pool_saturated",
    }
    assert talk.is_finished
    talk.close(3.0)
    assert brain.heard == []


def test_the_model_list_is_answered_by_the_picker_itself() -> None:
    _, talk, (reply,) = ask(Reply(b'{"data":[]}'))
    assert reply == ImmediateReply(200, (("content-type", "application/json"),), b'{"data":[]}')
    assert talk.is_finished


def test_the_end_of_the_stream_settles_the_pick_once_and_at_that_time() -> None:
    brain, talk, _ = ask(PICK)
    talk.close(7.5)
    assert brain.heard == [("r-1", Outcome.ENDED, 7.5)]


def test_a_stream_is_open_from_its_pick_to_its_end() -> None:
    brain = Brain(PICK)
    streams = OpenStreams(brain, lambda: False)
    talk = conversation(brain, streams=streams)
    assert not streams.picks
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    assert streams.picks == {"r-1"}
    talk.close(9.0)
    assert not streams.picks


def test_a_pick_that_the_proxy_never_heard_of_is_unused() -> None:
    brain, talk, _ = ask(PICK)
    talk.close(7.5, is_cut=True)
    assert brain.heard == [("r-1", Outcome.UNUSED, 7.5)]


def test_a_stream_cut_in_the_response_has_used_its_pick() -> None:
    brain = Brain(PICK)
    talk = conversation(brain, response=BodyMode.STREAMED, logged=True)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, end_of_stream=False), 2.0)
    talk.close(7.5, is_cut=True)
    assert brain.heard == [("r-1", Outcome.ENDED, 7.5)]


def test_a_stream_that_broke_before_the_pick_settles_nothing() -> None:
    brain = Brain(PICK)
    talk = conversation(brain)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0)
    talk.close(1.0)
    assert brain.heard == []


def test_half_a_body_is_picked_without_it() -> None:
    brain = Brain(PICK)
    talk = conversation(brain, BodyMode.BUFFERED_PARTIAL)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0)
    talk.receive(BodyReceived(REQUEST, b'{"model', end_of_stream=False), 0.0)
    assert brain.asked[0].body == b""


def test_full_duplex_sends_headers_then_the_body() -> None:
    talk = conversation(Brain(PICK), BodyMode.FULL_DUPLEX_STREAMED)
    assert talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0) == []
    first, second = talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 0.0)
    assert isinstance(first, HeadersReply)
    assert second == ChunkReply(REQUEST, b"{}", end_of_stream=True)


def respond(talk: PickConversation, *chunks: bytes) -> list[messages.Reply]:
    served = {"envoy.lb": {"x-gateway-destination-endpoint-served": "[::1]:81"}}
    replies = [*talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, False, served), 3.0)]
    for number, chunk in enumerate(chunks):
        replies += talk.receive(BodyReceived(RESPONSE, chunk, number == len(chunks) - 1), 4.0 + number)
    return replies


def test_behind_a_gateway_without_access_log_the_response_tells_how_it_went() -> None:
    brain = Brain(PICK)
    streams = OpenStreams(brain, lambda: False)
    talk = conversation(brain, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 1.0)
    talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 2.0)
    usage = (
        b'data: {"usage":{"prompt_tokens":7,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
    )
    respond(talk, b"data: {}\n\n", usage[:30], usage[30:], b"data: [DONE]\n\n")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    settled, feedback = brain.heard
    assert feedback == Feedback(
        PickId("r-1"), PoolId("default/a"), is_final=True, served=EndpointId("[::1]:81"), status=200, ttft_seconds=2.0,
        duration_seconds=7.0, prompt_tokens=7, completion_tokens=10, cached_tokens=4,
    )  # fmt: skip
    assert settled == ("r-1", Outcome.ENDED, 9.0)


@pytest.mark.parametrize(
    ("status", "served"), [("200", "10.0.0.1:80"), ("404", "10.0.0.1:80"), ("500", "10.0.0.1:80"), ("503", None)]
)
def test_a_gateway_that_does_not_say_who_served_is_taken_to_have_asked_the_first(
    status: str, served: str | None
) -> None:
    brain = Brain(Pick(PickId("r-1"), PoolId("default/a"), (EndpointId("10.0.0.1:80"), EndpointId("10.0.0.2:80"))))
    streams = OpenStreams(brain, lambda: False)
    talk = conversation(brain, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    talk.receive(HeadersReceived(RESPONSE, {":status": status}, end_of_stream=False), 2.0)
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    _, feedback = brain.heard
    assert isinstance(feedback, Feedback)
    assert feedback.served == served


def test_counts_that_no_answer_has_are_none_of_a_response() -> None:
    assert usage(b'{"usage": {"prompt_tokens": 999999999, "completion_tokens": 0}}') == (999_999_999, 0, None)
    assert usage(b'{"usage": {"prompt_tokens": 1000000000, "completion_tokens": 9223372036854775807}}') == (None,) * 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}, (7, 3, 4)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3, None)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "input_tokens": 0, "output_tokens": 0}, (7, 3, None)),
    ],
)
def test_usage_is_read_under_the_names_that_responses_and_messages_give_it_too(
    said: dict[str, object], expected: tuple[int | None, ...]
) -> None:
    assert usage(orjson.dumps({"usage": said})) == expected


def test_with_an_access_log_the_response_is_not_told_twice() -> None:
    brain = Brain(PICK)
    streams = OpenStreams(brain, lambda: True)
    talk = conversation(brain, response=BodyMode.STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b"{}")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    assert brain.heard == [("r-1", Outcome.ENDED, 9.0)]


def test_the_response_waits_a_grace_for_an_access_log_that_opens_with_its_first_entry() -> None:
    brain = Brain(PICK)
    streams = OpenStreams(brain, lambda: False)
    talk = conversation(brain, response=BodyMode.STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b"{}")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS / 2)
    assert brain.heard == [("r-1", Outcome.ENDED, 9.0)]
    for _ in range(2):
        streams.report(9.0 + GRACE_SECONDS)
        assert len(brain.heard) == 2


def test_responses_that_wait_are_bounded_and_the_oldest_is_told_early() -> None:
    brain = Brain(PICK)
    streams = OpenStreams(brain, lambda: False)
    for _ in range(WAITING_LIMIT + 1):
        talk = conversation(brain, streams=streams)
        talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
        respond(talk)
        talk.close(9.0)
    assert sum(isinstance(heard, Feedback) for heard in brain.heard) == 1


def test_an_explained_pick_puts_its_words_on_the_response() -> None:
    talk = conversation(Brain(Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),), explain=(("x-why", "most"),))))
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    assert respond(talk) == [HeadersReply(RESPONSE, Mutation((("x-why", "most"),)))]


SUBSET = "x-gateway-destination-endpoint-subset"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (("a:1", " b:2 "), ("a:1", "b:2")),
        ("a:1, b:2,", ("a:1", "b:2")),
        ((), ()),
        ("", ()),
        ((1.0, None), ()),
        (None, ()),
    ],
)
def test_the_subset_is_a_list_or_a_comma_list_and_present_but_empty_allows_nobody(
    value: object, expected: tuple[str, ...]
) -> None:
    assert subset_hint({"envoy.lb.subset_hint": {SUBSET: value}}) == expected


@pytest.mark.parametrize("metadata", [{}, {"envoy.lb.subset_hint": {}}, {"envoy.lb": {SUBSET: "a:1"}}])
def test_without_its_key_there_is_no_subset(metadata: Metadata) -> None:
    assert subset_hint(metadata) is None


@pytest.mark.parametrize(("sent", "pool"), [({"k": " default/a "}, "default/a"), ({"k": ""}, None), ({}, None)])
def test_the_pool_is_what_the_route_named(sent: dict[str, str], pool: str | None) -> None:
    assert pool_of(sent, "k") == pool
